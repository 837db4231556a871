import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonObject } from '../../src/kernel/json.ts';
import { makeLink } from '../../src/people/make_link.ts';
import { findSession } from '../../src/people/session.ts';
import { useLink } from '../../src/people/use_link.ts';
import { createPostgresArtifactStore } from '../../src/store/postgres/artifacts.ts';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';
import { readDeployed } from './deploy_files.ts';

// A database as a restore may bring it back: everything in it was ended, used or denied after the backup was made.

const APPROVED: JsonObject = { path: 'approved', content: 'x' };
const OPEN: JsonObject = { path: 'open', content: 'x' };
const DENIED: JsonObject = { path: 'denied', content: 'x' };

let database: TestDatabase;
let store: Store;
let scene: Scenario;
beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database, { rules: { channels: ['webhook'] } });
  scene = await Scenario.create(store);
});
afterAll(() => database.drop());

const epoch = () =>
  store.db.selectFrom('settings').select('value').where('name', '=', 'log_epoch').executeTakeFirstOrThrow();

test('after_restore.sql ends whatever could be misused, and says who can act', async () => {
  await scene.decide(await scene.ask('write_file', APPROVED), scene.requester, 'approve');
  await scene.decide(await scene.ask('write_file', DENIED), scene.requester, 'deny');
  const open = await scene.ask('write_file', OPEN);
  const link = {
    kind: 'sign_in',
    personId: scene.requester.person.id,
    isAdministrator: false,
    createdBy: null,
  } as const;
  const { token: unused } = await makeLink(store, { ...link, ttlSeconds: 600 });
  const { token } = await makeLink(store, { ...link, ttlSeconds: 600 });
  const used = await useLink(store, token, { displayName: '' });
  if (!used.ok) throw new Error(used.refusal.message);
  const artifacts = createPostgresArtifactStore({ db: store.db, vault: store.vault });
  await artifacts.save('RefreshToken', randomBytes(32).toString('base64url'), { payload: {} }, 600);
  expect(await findSession(store, used.value.cookieValue)).not.toBeNull();
  const before = await epoch();

  const results = (await database.pool.query(readDeployed('deploy/after_restore.sql'))) as unknown as {
    rows: object[];
  }[];
  expect(results.at(-1)?.rows).toEqual([
    { what: 'administrator', id: scene.administrator.person.id, name: 'Grace' },
    { what: 'agent', id: scene.claims.client_id, name: 'Notes agent' },
    { what: 'person', id: scene.requester.person.id, name: 'Ada' },
    { what: 'tool server', id: scene.server.id, name: 'files' },
  ]);
  expect(await epoch()).not.toEqual(before);
  expect(await scene.evaluate('read_file', { path: 'a' })).toMatchObject({
    decision: 'deny',
    refusal: { error: 'task_ended' },
  });
  expect(await scene.redeem('write_file', APPROVED)).toMatchObject({ ok: false });
  expect(await scene.decide(open, scene.requester, 'approve')).toMatchObject({ ok: false });
  expect(await findSession(store, used.value.cookieValue)).toBeNull();
  expect(await useLink(store, unused, { displayName: '' })).toMatchObject({ ok: false });
  expect(await store.db.selectFrom('artifacts').selectAll().execute()).toEqual([]);
  expect(await store.db.selectFrom('outbox').select('id').where('state', '=', 'waiting').execute()).toEqual([]);

  // Not only the task: a new one of the same agent finds no use of what was approved before.
  await store.db.updateTable('tasks').set({ state: 'active', ended_at: null }).execute();
  expect(await scene.redeem('write_file', APPROVED)).toMatchObject({ ok: false, refusal: { code: 'grant_missing' } });
});
