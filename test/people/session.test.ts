import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { csrfToken, isCsrfTokenValid } from '../../src/people/csrf.ts';
import { makeLink } from '../../src/people/make_link.ts';
import { isSameOrigin } from '../../src/people/same_origin.ts';
import { endSession, findSession, startSession } from '../../src/people/session.ts';
import { expiredSessionCookie, readSessionCookie, sessionCookie } from '../../src/people/session_cookie.ts';
import { useLink } from '../../src/people/use_link.ts';
import type { Store } from '../../src/store/store.ts';
import { transact } from '../../src/store/transact.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';

describe('sessions', () => {
  let database: TestDatabase;
  let store: Store;
  let personId: string;

  beforeAll(async () => {
    database = await createTestDatabase();
    store = createTestStore(database);
    const { token } = await makeLink(store, {
      kind: 'invitation',
      isAdministrator: false,
      createdBy: null,
      ttlSeconds: 60,
    });
    const used = await useLink(store, token, { displayName: 'Ada' });
    personId = used.ok ? used.value.personId : '';
  });
  afterAll(() => database.drop());

  const start = () =>
    transact(store, (tx, afterCommit) => startSession(store, tx, afterCommit, { personId, amr: ['hwk', 'user'] }));
  const signIn = async () => {
    const { cookieValue } = await start();
    return { cookieValue, signedIn: (await findSession(store, cookieValue))! };
  };

  it('finds a live session with how the person signed in', async () => {
    const { signedIn } = await signIn();
    expect(signedIn).toMatchObject({ person: { id: personId, displayName: 'Ada' }, amr: ['hwk', 'user'] });
    expect(Math.abs(signedIn.authenticatedAt.getTime() - Date.now())).toBeLessThan(10_000);
  });

  it('finds nobody for a missing, made-up or overlong cookie, nor for the hash that is stored', async () => {
    const { signedIn } = await signIn();
    for (const value of [undefined, '', 'made-up', 'x'.repeat(5000), signedIn.sessionIdHash]) {
      expect(await findSession(store, value)).toBeNull();
    }
  });

  it('ends when it is ended, once, or when its time is over', async () => {
    const { cookieValue, signedIn } = await signIn();
    await endSession(store, signedIn);
    await endSession(store, signedIn);
    expect(await findSession(store, cookieValue)).toBeNull();
    const ended = await store.db.selectFrom('events').select('id').where('kind', '=', 'session.ended').execute();
    expect(ended).toHaveLength(1);
    const late = await signIn();
    await store.db
      .updateTable('sessions')
      .set({ expires_at: sql`clock_timestamp()` })
      .where('id_hash', '=', late.signedIn.sessionIdHash)
      .execute();
    expect(await findSession(store, late.cookieValue)).toBeNull();
  });

  it('starts none for a person who is not active, and leaves nothing behind', async () => {
    await store.db.updateTable('people').set({ state: 'disabled' }).where('id', '=', personId).execute();
    const countBefore = await store.db.selectFrom('events').select('id').execute();
    await expect(start()).rejects.toThrow('No active person');
    await store.db.updateTable('people').set({ state: 'active' }).where('id', '=', personId).execute();
    expect(await store.db.selectFrom('events').select('id').execute()).toEqual(countBefore);
  });

  it('binds a form to its session and purpose', async () => {
    const { signedIn } = await signIn();
    const other = (await signIn()).signedIn;
    const token = csrfToken(store, signedIn, 'decide:stp_1');
    expect(isCsrfTokenValid(store, signedIn, 'decide:stp_1', token)).toBe(true);
    expect(isCsrfTokenValid(store, signedIn, 'decide:stp_2', token)).toBe(false);
    expect(isCsrfTokenValid(store, other, 'decide:stp_1', token)).toBe(false);
    for (const wrong of [undefined, '', `${token}AAAA`, `A${token.slice(1)}x`]) {
      expect(isCsrfTokenValid(store, signedIn, 'decide:stp_1', wrong)).toBe(false);
    }
  });
});

describe('the session cookie', () => {
  it('has every attribute that __Host- asks for, on http too', () => {
    expect(sessionCookie('abc', 60)).toBe('__Host-countersign=abc; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Lax');
    expect(expiredSessionCookie()).toContain('__Host-countersign=; Max-Age=0;');
  });

  it('is read by its exact name, and not at all if there are two', () => {
    expect(readSessionCookie('a=1; __Host-countersign=abc; b=2')).toBe('abc');
    expect(readSessionCookie('x__Host-countersign=abc; __host-countersign=d')).toBeUndefined();
    expect(readSessionCookie('__Host-countersign=abc; __Host-countersign=planted')).toBeUndefined();
    expect(readSessionCookie(undefined)).toBeUndefined();
  });
});

describe('the same-origin check', () => {
  const issuer = 'https://auth.example/tenant';

  it('takes the origin of the issuer and nothing like it', () => {
    expect(isSameOrigin({ origin: 'https://auth.example' }, issuer)).toBe(true);
    for (const origin of ['http://auth.example', 'https://auth.example:8443', 'https://auth.example.evil', '']) {
      expect(isSameOrigin({ origin, 'sec-fetch-site': 'same-origin' }, issuer), origin).toBe(false);
    }
  });

  it('asks Sec-Fetch-Site where the origin is missing or null, and refuses when neither speaks', () => {
    expect(isSameOrigin({ 'sec-fetch-site': 'same-origin' }, issuer)).toBe(true);
    expect(isSameOrigin({ origin: 'null', 'sec-fetch-site': 'same-origin' }, issuer)).toBe(true);
    for (const site of ['same-site', 'cross-site', 'none', undefined]) {
      expect(isSameOrigin({ origin: 'null', ...(site && { 'sec-fetch-site': site }) }, issuer), site).toBe(false);
      expect(isSameOrigin({ ...(site && { 'sec-fetch-site': site }) }, issuer), site).toBe(false);
    }
  });
});
