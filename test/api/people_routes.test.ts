import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Router from '@koa/router';
import Koa from 'koa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PEOPLE_PER_PAGE_MAX } from '../../src/api/limits.ts';
import { addPeopleRoutes } from '../../src/api/people_routes.ts';
import type { ApiTokenScope } from '../../src/model/api_token.ts';
import { makeApiToken } from '../../src/people/api_tokens.ts';
import { createGroup } from '../../src/people/directory/groups.ts';
import { createUser } from '../../src/people/directory/users.ts';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addPerson } from '../support/oauth_server.ts';
import { createTestStore } from '../support/test_store.ts';

const BY = { kind: 'server', id: 'server' } as const;
const server = createServer();
let database: TestDatabase;
let store: Store;
let base: string;

beforeAll(async () => {
  database = await createTestDatabase();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  store = createTestStore(database, { issuer: base });
  const router = new Router();
  addPeopleRoutes(router, store);
  server.on('request', new Koa().use(router.routes()).callback());
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await store.ephemeral.close();
  await database.drop();
});

async function get(path: string, scope: ApiTokenScope = 'people:read') {
  const made = await makeApiToken(store, { name: 'x', scopes: [scope], seconds: 60, by: BY });
  const authorization = `Bearer ${made.ok ? made.value.token : ''}`;
  const response = await fetch(`${base}/api/v1/people${path}`, { headers: { authorization } });
  return {
    status: response.status,
    body: (await response.json()) as { people: { id: string }[]; next: string | null },
  };
}

test('people are listed page by page, and shown with source and groups, to a machine that may read them', async () => {
  const names = Array.from({ length: PEOPLE_PER_PAGE_MAX + 3 }, (_, index) => `Person ${index}`);
  for (const name of names) await addPerson(store, name);
  const user = { userName: 'ada@example.com', displayName: 'Ada', email: null, externalId: null, isActive: true };
  const made = await createUser(store, { user, by: BY });
  const id = made.ok ? made.value.id : '';
  await createGroup(store, { displayName: 'Payments', externalId: null, memberIds: [id], by: BY });
  expect((await get(`/${id}`)).body).toMatchObject({
    id,
    display_name: 'Ada',
    user_name: 'ada@example.com',
    source: 'scim',
    state: 'active',
    groups: [{ name: 'Payments' }],
  });
  const first = await get('');
  const second = await get(`?after=${first.body.next}`);
  expect([first.body.people.length, second.body.people.length, second.body.next]).toEqual([
    PEOPLE_PER_PAGE_MAX,
    4,
    null,
  ]);
  expect(new Set([...first.body.people, ...second.body.people].map((one) => one.id)).size).toBe(names.length + 1);
  await store.db
    .updateTable('people')
    .set({ state: 'disabled', deleted_at: new Date() })
    .where('id', '=', id)
    .execute();
  expect((await get(`/${id}`)).status).toBe(404);
});

test('nobody else reads them', async () => {
  expect((await fetch(`${base}/api/v1/people`)).status).toBe(401);
  expect((await get('', 'scim')).status).toBe(403);
});
