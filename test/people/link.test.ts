import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sha256Base64url } from '../../src/kernel/digest.ts';
import { hasAdministrator } from '../../src/people/administrator.ts';
import { makeLink, type NewLink } from '../../src/people/make_link.ts';
import { findSession } from '../../src/people/session.ts';
import { findLink, useLink } from '../../src/people/use_link.ts';
import type { Store } from '../../src/store/store.ts';
import { disablePerson } from '../../src/tasks/revoke/disable_person.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';

const SET_UP: NewLink = { kind: 'set_up', isAdministrator: true, createdBy: null, ttlSeconds: 3600 };
const INVITATION: NewLink = { kind: 'invitation', isAdministrator: false, createdBy: null, ttlSeconds: 3600 };

describe('links', () => {
  let database: TestDatabase;
  let store: Store;

  beforeAll(async () => {
    database = await createTestDatabase();
    store = createTestStore(database);
  });
  afterAll(() => database.drop());
  beforeEach(() => sql`truncate people, events cascade`.execute(database.db));

  async function useNew(link: NewLink, displayName = 'Ada Lovelace') {
    const { token } = await makeLink(store, link);
    const used = await useLink(store, token, { displayName });
    if (!used.ok) throw new Error(used.refusal.message);
    return used.value;
  }

  it('makes the first administrator, signed in, by a set-up link', async () => {
    expect(await hasAdministrator(store)).toBe(false);
    const { personId, cookieValue } = await useNew(SET_UP, '  Ada   Lovelace ');
    expect(await hasAdministrator(store)).toBe(true);
    expect(await findSession(store, cookieValue)).toMatchObject({
      person: { id: personId, displayName: 'Ada Lovelace', isAdministrator: true },
      amr: ['link'],
    });
    const person = await store.db.selectFrom('people').selectAll().executeTakeFirstOrThrow();
    expect(person.user_handle).toHaveLength(64);
    const events = await store.db.selectFrom('events').select('kind').orderBy('id').execute();
    expect(events.map((event) => event.kind)).toEqual(['link.made', 'person.created', 'link.used', 'session.started']);
  });

  it('F9: lets the page that used it sign the same person in again, for an answer that was lost', async () => {
    const { token } = await makeLink(store, SET_UP);
    const form = { displayName: 'Ada', attempt: 'of this showing' };
    const first = await useLink(store, token, form);
    const again = await useLink(store, token, form);
    if (!first.ok || !again.ok) throw new Error('A link was not used.');
    expect(again.value.personId).toBe(first.value.personId);
    expect(again.value.cookieValue).not.toBe(first.value.cookieValue);
    expect(await store.db.selectFrom('people').select('id').execute()).toHaveLength(1);
    const used = { ok: false, refusal: { code: 'conflict', message: expect.stringContaining('This link was used') } };
    expect(await useLink(store, token, { ...form, attempt: 'another' })).toMatchObject(used);
    expect(await useLink(store, token, { displayName: 'Ada' })).toMatchObject(used);
    await sql`update links set used_at = used_at - interval '11 minutes'`.execute(database.db);
    expect(await useLink(store, token, form)).toMatchObject(used);
    const { token: plain } = await makeLink(store, INVITATION);
    await useLink(store, plain, { displayName: 'Grace' });
    expect(await useLink(store, plain, { displayName: 'Grace' })).toMatchObject(used);
  });

  it('keeps only hashes of the token and of the cookie', async () => {
    const { token } = await makeLink(store, SET_UP);
    const used = await useLink(store, token, { displayName: 'Ada' });
    const cookie = used.ok ? used.value.cookieValue : '';
    const dump = JSON.stringify([
      await store.db.selectFrom('links').selectAll().execute(),
      await store.db.selectFrom('sessions').selectAll().execute(),
      await store.db.selectFrom('events').selectAll().execute(),
    ]);
    expect(dump).toContain(sha256Base64url(token));
    expect(dump).not.toContain(token);
    expect(dump).not.toContain(cookie);
  });

  it('signs in exactly one of 20 who use a link at once', async () => {
    const { token } = await makeLink(store, INVITATION);
    const uses = await Promise.all(
      Array.from({ length: 20 }, (_, index) => useLink(store, token, { displayName: `Person ${index}` })),
    );
    expect(uses.filter((use) => use.ok)).toHaveLength(1);
    expect(uses.filter((use) => !use.ok && use.refusal.code === 'conflict')).toHaveLength(19);
    expect(await store.db.selectFrom('people').select('id').execute()).toHaveLength(1);
    expect(await store.db.selectFrom('sessions').select('id_hash').execute()).toHaveLength(1);
  });

  it('makes one administrator of 20 different set-up links used at once, and then refuses to make another', async () => {
    const links = await Promise.all(Array.from({ length: 20 }, () => makeLink(store, SET_UP)));
    const uses = await Promise.all(links.map((link) => useLink(store, link.token, { displayName: 'Ada' })));
    expect(uses.filter((use) => use.ok)).toHaveLength(1);
    expect(await store.db.selectFrom('people').select('id').execute()).toHaveLength(1);
    const loser = links[uses.findIndex((use) => !use.ok)]!;
    expect(await findLink(store, loser.token)).toMatchObject({ ok: false, refusal: { code: 'conflict' } });
    await expect(makeLink(store, SET_UP)).rejects.toThrow('There is an administrator already');
  });

  it('changes nothing when it refuses: expired, unknown, or a name that hides something', async () => {
    const { token } = await makeLink(store, INVITATION);
    for (const displayName of ['', '   ', 'Ada\u202egnihton', 'Ada\u0000', 'Ada\u200b', 'x'.repeat(201)]) {
      const use = await useLink(store, token, { displayName });
      expect(use, JSON.stringify(displayName)).toMatchObject({ ok: false, refusal: { code: 'request_invalid' } });
    }
    expect(await findLink(store, token)).toMatchObject({ ok: true, value: { kind: 'invitation', displayName: null } });
    await store.db.updateTable('links').set({ expires_at: sql`clock_timestamp()` }).execute();
    expect(await useLink(store, token, { displayName: 'Ada' })).toMatchObject({ refusal: { code: 'conflict' } });
    expect(await findLink(store, token)).toMatchObject({ refusal: { code: 'conflict' } });
    for (const unknown of ['nonsense', '', 'x'.repeat(10_000)]) {
      expect(await useLink(store, unknown, { displayName: 'Ada' })).toMatchObject({ refusal: { code: 'not_found' } });
    }
    expect(await store.db.selectFrom('people').select('id').execute()).toHaveLength(0);
    expect(await store.db.selectFrom('events').select('kind').execute()).toEqual([{ kind: 'link.made' }]);
  });

  it('signs in the person that a sign-in link names, and makes nobody', async () => {
    const { personId } = await useNew(INVITATION, 'Grace Hopper');
    const link = { kind: 'sign_in', personId, isAdministrator: true, createdBy: null, ttlSeconds: 60 } as const;
    const { token } = await makeLink(store, link);
    expect(await findLink(store, token)).toMatchObject({ value: { kind: 'sign_in', displayName: 'Grace Hopper' } });
    const used = await useLink(store, token, { displayName: 'Somebody Else' });
    const signedIn = await findSession(store, used.ok ? used.value.cookieValue : undefined);
    expect(signedIn?.person).toEqual({ id: personId, displayName: 'Grace Hopper', isAdministrator: false });
    expect(await store.db.selectFrom('people').select('id').execute()).toHaveLength(1);
  });

  it('disables a person with their sessions and links, but never the last administrator', async () => {
    const ada = await useNew(SET_UP);
    const bob = await useNew({ ...INVITATION, isAdministrator: true }, 'Bob');
    const eve = await useNew(INVITATION, 'Eve');
    expect(
      await disablePerson(store, { personId: ada.personId, by: { kind: 'person', id: eve.personId }, reason: '' }),
    ).toMatchObject({
      refusal: { code: 'not_allowed' },
    });
    const invitation = await makeLink(store, { ...INVITATION, createdBy: bob.personId });
    const signIn = await makeLink(store, { ...INVITATION, kind: 'sign_in', personId: bob.personId });
    expect(
      await disablePerson(store, { personId: bob.personId, by: { kind: 'person', id: ada.personId }, reason: '' }),
    ).toMatchObject({ ok: true });
    expect(await findSession(store, bob.cookieValue)).toBeNull();
    expect(await findSession(store, ada.cookieValue)).not.toBeNull();
    for (const { token } of [invitation, signIn]) {
      expect(await useLink(store, token, { displayName: 'Mallory' })).toMatchObject({ ok: false });
    }
    await expect(makeLink(store, { ...INVITATION, createdBy: bob.personId })).rejects.toThrow('disabled');
    expect(
      await disablePerson(store, { personId: ada.personId, by: { kind: 'person', id: ada.personId }, reason: '' }),
    ).toMatchObject({
      refusal: { code: 'conflict' },
    });
    expect(await hasAdministrator(store)).toBe(true);
  });

  it('keeps one administrator when two disable each other at once', async () => {
    const ada = await useNew(SET_UP);
    const bob = await useNew({ ...INVITATION, isAdministrator: true }, 'Bob');
    const results = await Promise.all([
      disablePerson(store, { personId: bob.personId, by: { kind: 'person', id: ada.personId }, reason: '' }),
      disablePerson(store, { personId: ada.personId, by: { kind: 'person', id: bob.personId }, reason: '' }),
    ]);
    expect(results.filter((result) => result.ok)).toHaveLength(1);
    expect(await hasAdministrator(store)).toBe(true);
  });
});
