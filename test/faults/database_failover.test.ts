import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { exportLog } from '../../src/events/export.ts';
import { verifyLog } from '../../src/events/verify.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { type RunningServer, startServer } from '../../src/server/start.ts';
import { migrate } from '../../src/store/postgres/migrate.ts';
import { openDatabase } from '../../src/store/postgres/open.ts';
import { isDatabaseOutage } from '../../src/store/postgres/outage.ts';
import type { Tables } from '../../src/store/postgres/tables.ts';
import { endTask } from '../../src/tasks/finish.ts';
import { Scenario } from '../support/scenario.ts';
import { makeScratchDirectory } from '../support/scratch.ts';
import { until } from './installation.ts';
import { ReplicatedPostgres } from './replicated_postgres.ts';

// PostgreSQL fails over to a synchronous standby under a server that works. What was acknowledged is there afterwards, a
// grant was used once, and the server goes on by itself.

const WORKERS = 3;
const ACKNOWLEDGED_MIN = 6;
const ISSUER_PORT = 9400;

let pair: ReplicatedPostgres;
let server: RunningServer;
let scene: Scenario;

beforeAll(async () => {
  pair = await ReplicatedPostgres.open(await makeScratchDirectory('failover'));
  const database = openDatabase<Tables>({ connection: { url: pair.url }, poolMax: 2, log: silentLogger });
  await migrate(database.db).finally(() => database.close());
  process.env.COUNTERSIGN_ROOT_KEY = Buffer.alloc(32, 7).toString('base64');
  const config = parseConfig({
    text: [
      `issuer: http://localhost:${ISSUER_PORT}`,
      'listen: { port: 0 }',
      `database: { url: '${pair.url}', pool_max: 8 }`,
      'step_ups: { per_agent_per_minute: 10000, open_per_agent: 10000, denial_cooldown_seconds: 0 }',
    ].join('\n'),
  });
  if (!config.ok) throw new Error(JSON.stringify(config.refusal));
  server = await startServer({ config: config.value, log: silentLogger });
  scene = await Scenario.create(server.store);
}, 120_000);
afterAll(async () => {
  await server?.stop().catch(() => {});
  await pair?.close();
  delete process.env.COUNTERSIGN_ROOT_KEY;
}, 60_000);

const args = (path: string) => ({ path, content: 'b' });
const ready = async () =>
  fetch(`http://127.0.0.1:${server.port}/readyz`).then(async (response) => {
    await response.text();
    return response.status;
  });

test('a decision that did not reach the standby is not acknowledged; asked again when it did, it is, and was made once', async () => {
  const id = await scene.ask('write_file', args('unknown'));
  const deny = () => scene.decide(id, scene.requester, 'deny');
  pair.cutOffStandby();
  const first = await pair.cancelWaitsDuring(deny());
  expect(first).toMatchObject({ status: 'rejected', reason: { code: '08007' } });
  expect((first as PromiseRejectedResult).reason).toSatisfy(isDatabaseOutage);
  // It is visible by now, which is no acknowledgement either.
  const second = await pair.cancelWaitsDuring(deny());
  expect(second).toMatchObject({ status: 'rejected', reason: { code: '08007' } });
  pair.reconnectStandby();
  expect(await deny()).toEqual({ ok: true, value: { state: 'denied' } });
  expect(await scene.events('decision.made')).toHaveLength(1);
}, 90_000);

test('nor is a redemption, although all that is left to do is to read it', async () => {
  const call = args('to redeem');
  await scene.decide(await scene.ask('write_file', call), scene.requester, 'approve');
  const redeem = () => scene.redeem('write_file', call, 'att_of_this_test');
  const unknown = { status: 'rejected', reason: { code: '08007' } };
  pair.cutOffStandby();
  expect(await pair.cancelWaitsDuring(redeem())).toMatchObject(unknown);
  expect(await pair.cancelWaitsDuring(redeem())).toMatchObject(unknown);
  pair.reconnectStandby();
  expect(await redeem()).toMatchObject({ ok: true, value: { repeated: true } });
}, 90_000);

interface Acknowledged {
  readonly denied: string[];
  readonly approved: string[];
  readonly used: string[];
}

/** Asks, decides and redeems without end; keeps what was acknowledged. Anything but an outage fails. */
async function work(worker: number, done: Acknowledged, isOver: () => boolean): Promise<void> {
  for (let round = 0; !isOver(); round += 1) {
    const path = `${worker}/${round}`;
    try {
      const id = await scene.ask('write_file', args(path));
      const isDenied = round % 3 === 0;
      const decided = await scene.decide(id, scene.requester, isDenied ? 'deny' : 'approve');
      expect(decided).toMatchObject({ ok: true });
      (isDenied ? done.denied : done.approved).push(path);
      if (isDenied || round % 3 === 1) continue;
      expect(await scene.redeem('write_file', args(path))).toMatchObject({ ok: true });
      done.used.push(path);
    } catch (error) {
      if (!isDatabaseOutage(error)) throw error;
    }
  }
}

test('after a failover everything acknowledged is there, grants are used once, and the server goes on by itself', async () => {
  const ended = await scene.startTask();
  const by = { agentId: scene.claims.client_id };
  expect(await endTask(server.store, { taskId: ended, how: 'cancelled', by })).toMatchObject({ ok: true });
  await scene.startTask();
  const done: Acknowledged = { denied: [], approved: [], used: [] };
  let isOver = false;
  const working = Promise.all(Array.from({ length: WORKERS }, (_, worker) => work(worker, done, () => isOver)));
  await until('some are acknowledged', () => (done.used.length >= ACKNOWLEDGED_MIN ? true : undefined), 60_000);
  await pair.killPrimary();
  await until('it says that it is not ready', async () => ((await ready()) === 503 ? true : undefined));
  isOver = true;
  await working;
  // The address moves before the standby is promoted: nothing is read from it.
  pair.moveAddress();
  expect(await ready()).toBe(503);
  await expect(scene.evaluate('read_file', { path: 'a' })).rejects.toSatisfy(isDatabaseOutage);
  await pair.promote();
  await until('it is ready by itself', async () => ((await ready()) === 200 ? true : undefined), 30_000);

  expect(done.denied.length).toBeGreaterThan(0);
  const states = await server.store.db.selectFrom('step_ups').select(['state', 'binding_digest']).execute();
  expect(states.filter((row) => row.state === 'denied').length).toBeGreaterThanOrEqual(done.denied.length + 1);
  const task = await server.store.db.selectFrom('tasks').select('state').where('id', '=', ended).executeTakeFirst();
  expect(task?.state).toBe('cancelled');
  for (const path of done.used) {
    expect(await scene.redeem('write_file', args(path))).toMatchObject({ ok: false, refusal: { code: 'grant_used' } });
  }
  const unused = done.approved.filter((path) => !done.used.includes(path));
  for (const path of unused) {
    // One whose redemption got no answer may have been used.
    const first = await scene.redeem('write_file', args(path));
    expect(first.ok || first.refusal.code === 'grant_used').toBe(true);
    expect(await scene.redeem('write_file', args(path))).toMatchObject({ ok: false, refusal: { code: 'grant_used' } });
  }
  for (const path of done.denied) {
    expect(await scene.redeem('write_file', args(path))).toMatchObject({
      ok: false,
      refusal: { code: 'grant_missing' },
    });
  }
  const over = await server.store.db.selectFrom('grants').select('id').whereRef('uses', '>', 'max_uses').execute();
  expect(over).toEqual([]);
  await until('the log is sealed', async () => {
    const open = await server.store.db.selectFrom('events').select('id').where('position', 'is', null).execute();
    return open.length === 0 ? true : undefined;
  });
  const verified = await verifyLog(exportLog(server.store), { verifierKey: server.verifierKey });
  expect(verified).toMatchObject({ ok: true });
}, 180_000);
