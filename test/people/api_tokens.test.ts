import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiTokenScope } from '../../src/model/api_token.ts';
import { findApiToken, listApiTokens, makeApiToken, revokeApiToken } from '../../src/people/api_tokens.ts';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addPerson } from '../support/oauth_server.ts';
import { createTestStore } from '../support/test_store.ts';

const SERVER = { kind: 'server', id: 'server' } as const;
let database: TestDatabase;
let store: Store;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
});
afterAll(() => database.drop());

async function make(changes: Partial<Parameters<typeof makeApiToken>[1]> = {}) {
  const made = await makeApiToken(store, {
    name: 'Pipeline',
    scopes: ['agents:read', 'scim'],
    seconds: 60,
    by: SERVER,
    ...changes,
  });
  if (!made.ok) throw new Error(made.refusal.message);
  return made.value;
}

describe('an API token', () => {
  it('is found by its scopes, and is kept as a hash only', async () => {
    const { id, token } = await make();
    expect(token).toMatch(/^cst_[A-Za-z0-9_-]{43}$/);
    expect(await findApiToken(store, token, 'scim')).toEqual({
      ok: true,
      value: { id, scopes: ['agents:read', 'scim'] },
    });
    expect(await findApiToken(store, token, 'agents:write')).toMatchObject({ refusal: { code: 'not_allowed' } });
    const everything = [
      await store.db.selectFrom('api_tokens').selectAll().execute(),
      await store.db.selectFrom('events').select(['body', 'personal']).execute(),
      await listApiTokens(store),
    ];
    expect(JSON.stringify(everything)).not.toContain(token.slice(4));
  });

  it.each(['', 'cst_', 'cst_made-up', `cst_${'x'.repeat(5_000)}`, 'Bearer x'])('is none: %s', async (text) => {
    expect(await findApiToken(store, text, 'scim')).toMatchObject({ ok: false, refusal: { code: 'token_invalid' } });
  });

  it('ends when it is revoked, once, or when its time is over', async () => {
    const revoked = await make();
    expect(await revokeApiToken(store, { id: revoked.id, by: SERVER })).toMatchObject({ ok: true });
    expect(await revokeApiToken(store, { id: revoked.id, by: SERVER })).toMatchObject({ ok: false });
    expect(await findApiToken(store, revoked.token, 'scim')).toMatchObject({ refusal: { code: 'token_invalid' } });
    const late = await make();
    await store.db
      .updateTable('api_tokens')
      .set({ expires_at: new Date(0) })
      .where('id', '=', late.id)
      .execute();
    expect(await findApiToken(store, late.token, 'scim')).toMatchObject({ refusal: { code: 'token_expired' } });
    const states = new Map((await listApiTokens(store)).map(({ id, state }) => [id, state]));
    expect([states.get(revoked.id), states.get(late.id)]).toEqual(['revoked', 'expired']);
  });

  it('dies with whoever made it', async () => {
    const person = await addPerson(store);
    const { token } = await make({ by: { kind: 'person', id: person } });
    expect(await findApiToken(store, token, 'scim')).toMatchObject({ ok: true });
    await store.db.updateTable('people').set({ state: 'disabled' }).where('id', '=', person).execute();
    expect(await findApiToken(store, token, 'scim')).toMatchObject({ ok: false });
    const late = await makeApiToken(store, {
      name: 'x',
      scopes: ['scim'],
      seconds: 60,
      by: { kind: 'person', id: person },
    });
    expect(late).toMatchObject({ refusal: { code: 'person_inactive' } });
  });

  it.each([
    ['no scope', { scopes: [] as ApiTokenScope[] }],
    ['no time', { seconds: 0 }],
    ['too long a time', { seconds: 400 * 86_400 }],
    ['a part of a second', { seconds: 0.5 }],
    ['no name', { name: ' ' }],
    ['a name that hides something', { name: 'a\u202eb' }],
  ])('is not made with %s', async (_, changes) => {
    const made = await makeApiToken(store, { name: 'x', scopes: ['scim'], seconds: 60, by: SERVER, ...changes });
    expect(made).toMatchObject({ ok: false, refusal: { code: 'request_invalid' } });
  });

  it('knows when it was last used, without a write for every use', async () => {
    const { id, token } = await make();
    await findApiToken(store, token, 'scim');
    const used = async () =>
      (await store.db.selectFrom('api_tokens').select('last_used_at').where('id', '=', id).executeTakeFirstOrThrow())
        .last_used_at;
    const first = await used();
    expect(first).not.toBeNull();
    await findApiToken(store, token, 'scim');
    expect(await used()).toEqual(first);
  });
});
