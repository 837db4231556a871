import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { issueDecisionToken } from '../../src/approvals/decision_token.ts';
import { viewStepUp } from '../../src/approvals/view.ts';
import { withdrawStepUp } from '../../src/approvals/withdraw.ts';
import { newId } from '../../src/kernel/ids.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { makeLink } from '../../src/people/make_link.ts';
import { useLink } from '../../src/people/use_link.ts';
import { SOCKET_PORT } from '../../src/store/postgres/embedded/settings.ts';
import { type Database, openDatabase } from '../../src/store/postgres/open.ts';
import { isDatabaseOutage } from '../../src/store/postgres/outage.ts';
import type { Tables } from '../../src/store/postgres/tables.ts';
import type { Store } from '../../src/store/store.ts';
import { endTask } from '../../src/tasks/finish.ts';
import { recordOutcome } from '../../src/tasks/outcome.ts';
import { startTask } from '../../src/tasks/start.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';
import { TcpProxy } from './tcp_proxy.ts';

// F9: PostgreSQL commits and its answer is lost. The caller is told of an outage; asking again gets the same outcome, and
// everything happened once.

const LOST_MS = 300;
/** As Kysely writes it, in a message of the simple protocol. */
const COMMIT = 'commit\0';

let database: TestDatabase;
let proxy: TcpProxy;
let proxied: Database<Tables>;
let store: Store;
let scene: Scenario;

beforeAll(async () => {
  database = await createTestDatabase();
  const { socketDirectory, user, password, database: name } = database.connection;
  proxy = await TcpProxy.open({ path: join(socketDirectory, `.s.PGSQL.${SOCKET_PORT}`) });
  const url = `postgres://${user}:${password}@127.0.0.1:${proxy.port}/${name}`;
  proxied = openDatabase<Tables>({ connection: { url, durability: 'assumed' }, poolMax: 4, log: silentLogger });
  store = createTestStore(proxied, { rules: { stepUpsPerAgentPerMinute: 100 } });
  scene = await Scenario.create(store);
}, 60_000);
afterAll(async () => {
  await proxied?.close();
  await proxy?.close();
  await database?.drop();
});

/**
 * The next answer to a request that holds these bytes is swallowed, and its connection is cut a moment later. `after`: not
 * before others were seen.
 */
function loseReplyTo(bytes: string, after = ''): void {
  let isNear = false;
  const undo = proxy.watch('requests', (sent) => {
    isNear ||= sent.includes(after);
    if (!isNear || !sent.includes(bytes)) return;
    undo();
    proxy.mute('replies');
    setTimeout(() => proxy.heal(), LOST_MS);
  });
}

/** What the second request is told, after the answer to the first was lost. */
async function askedTwice<Value>(bytes: string, ask: () => Promise<Value>, after?: string): Promise<Value> {
  loseReplyTo(bytes, after);
  const first = await ask().then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(first).toSatisfy(isDatabaseOutage);
  return ask();
}

const count = async (table: 'decisions' | 'grants' | 'redemptions' | 'tasks' | 'people' | 'step_ups') =>
  (await database.db.selectFrom(table).select('id').execute()).length;
const args = (path: string) => ({ path, content: 'b' });

async function pageToken(stepUpId: string): Promise<string> {
  const view = await viewStepUp(store, { stepUpId, personId: scene.requester.person.id });
  if (!view.ok) throw new Error(view.refusal.message);
  return issueDecisionToken(store, { sessionIdHash: scene.requester.sessionIdHash, view: view.value });
}

test.each(['approve', 'deny'] as const)('a decision: %s', async (decision) => {
  const id = await scene.ask('write_file', args(`to ${decision}`));
  const token = await pageToken(id);
  const before = await count('decisions');
  // Reading the page commits as well: the answer to the decision itself is to be lost.
  const told = await askedTwice(COMMIT, () => scene.decide(id, scene.requester, decision, { token }), 'dec_');
  expect(told).toEqual({ ok: true, value: { state: decision === 'approve' ? 'approved' : 'denied' } });
  expect(await count('decisions')).toBe(before + 1);
});

test('a redemption: the attempt is told that it had its use', async () => {
  const call = args('to redeem');
  await scene.decide(await scene.ask('write_file', call), scene.requester, 'approve');
  const attempt = newId('att');
  const before = await count('redemptions');
  const told = await askedTwice(attempt, () => scene.redeem('write_file', call, attempt));
  expect(told).toMatchObject({ ok: true, value: { repeated: true } });
  expect(await count('redemptions')).toBe(before + 1);
  // Another attempt finds it used.
  expect(await scene.redeem('write_file', call)).toMatchObject({ ok: false, refusal: { code: 'grant_used' } });
  const report = () =>
    recordOutcome(store, {
      redemptionId: told.ok ? told.value.redemption_id : '',
      toolServerId: scene.server.id,
      attemptId: attempt,
      guardInstance: scene.guardInstance,
      outcome: 'done',
      result: null,
    });
  expect(await askedTwice(COMMIT, report)).toEqual({ ok: true, value: { recorded: true } });
  expect(await scene.events('outcome.recorded')).toHaveLength(1);
});

test('a step-up: registered once, opened once, withdrawn once', async () => {
  const before = await count('step_ups');
  const evaluated = await askedTwice(COMMIT, () => scene.evaluate('write_file', args('to ask for')));
  if (evaluated.decision !== 'step_up') throw new Error(JSON.stringify(evaluated));
  expect(await count('step_ups')).toBe(before + 1);
  const { step_up_id: id } = evaluated.step_up;
  const { action_digest: digest } = scene.describe('write_file', args('to ask for'));
  const opened = await askedTwice(COMMIT, () => scene.open(id, evaluated.txn!, digest, 'write_file'));
  expect(opened).toMatchObject({ ok: true, value: { state: 'open' } });
  const withdraw = () =>
    withdrawStepUp(store, { stepUpId: id, toolServerId: scene.server.id, reason: 'The client cancelled the call.' });
  expect(await askedTwice(COMMIT, withdraw)).toBe(true);
  expect(await scene.events('step_up.withdrawn')).toHaveLength(1);
});

test('a task: started once under its key, ended once', async () => {
  const before = await count('tasks');
  const start = () =>
    startTask(store, {
      requesterId: scene.requester.person.id,
      agentId: scene.claims.client_id,
      clientId: scene.claims.client_id,
      purpose: 'Tidy up',
      purposeCode: '',
      tools: { [scene.server.id]: ['read_file'] },
      seconds: 600,
      oauthGrantId: null,
      idempotencyKey: 'one',
    });
  const started = await askedTwice(COMMIT, start);
  if (!started.ok) throw new Error(started.refusal.message);
  expect(await count('tasks')).toBe(before + 1);
  const end = () =>
    endTask(store, { taskId: started.value.taskId, how: 'completed', by: { agentId: scene.claims.client_id } });
  expect(await askedTwice(COMMIT, end)).toMatchObject({ ok: true, value: { state: 'completed' } });
  expect(await scene.events('task.ended')).toHaveLength(1);
});

test('a link: the page that used it signs its person in', async () => {
  const before = await count('people');
  const { token } = await makeLink(store, {
    kind: 'invitation',
    isAdministrator: false,
    createdBy: null,
    ttlSeconds: 600,
  });
  const used = await askedTwice(COMMIT, () => useLink(store, token, { displayName: 'Linus', attempt: 'this page' }));
  expect(used).toMatchObject({ ok: true });
  expect(await count('people')).toBe(before + 1);
});
