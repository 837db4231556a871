import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import type { ServerReady } from '../../examples/demo/set_up.ts';
import { Receiver } from '../approvals/channels/webhook/receiver.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';
import { killHard, until } from './installation.ts';
import { type NodeConfig, nodeConfig } from './node_config.ts';

// F11 with real processes: a server dies between sending a message and recording that it was sent. Nobody can know then
// whether it arrived, so it goes out again, and the receiver recognises it by its id.

const RULES = { channels: ['webhook'], stepUpsPerAgentPerMinute: 1_000, openStepUpsPerAgent: 1_000 };

let database: TestDatabase;
let receiver: Receiver;
let scene: Scenario;
let config: NodeConfig;
const parts: Part<ServerReady>[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  receiver = await Receiver.open();
  scene = await Scenario.create(createTestStore(database, { rules: RULES }));
  config = await nodeConfig({ issuer: scene.store.issuer, database, receiver });
}, 60_000);
afterEach(async () => {
  for (const part of parts.splice(0)) await killHard(part);
});
afterAll(async () => {
  await receiver?.close();
  await database?.drop();
});

async function startNode(): Promise<Part<ServerReady>> {
  const part = await startPart<ServerReady>(['serve', '--config', config.file]);
  parts.push(part);
  return part;
}

const rowOf = (stepUpId: string) =>
  database.db.selectFrom('outbox').selectAll().where('subject_id', '=', stepUpId).executeTakeFirstOrThrow();
const untilSent = (stepUpId: string) =>
  until('the message is recorded as sent', async () => {
    const row = await rowOf(stepUpId);
    return row.state === 'sent' ? row : undefined;
  });

test('F11: kill -9 between sending and recording: the message goes out again with its id, and with nothing else twice', async () => {
  const dying = await startNode();
  receiver.answer = () => void dying.process.kill('SIGKILL');
  const stepUpId = await scene.ask('write_file', { path: 'killed', content: 'x' });
  await until('the message arrived', () => receiver.received[0]);
  await killHard(dying);
  expect(await rowOf(stepUpId)).toMatchObject({ state: 'waiting', attempts: 1, leased_until: expect.any(Date) });

  receiver.answer = (response) => response.writeHead(204).end();
  await startNode();
  await startNode();
  const other = await scene.ask('write_file', { path: 'not disturbed', content: 'x' });
  await untilSent(other);
  expect(await rowOf(stepUpId)).toMatchObject({ state: 'waiting', attempts: 1 });
  // What a minute would do.
  await sql`update outbox set leased_until = clock_timestamp() where subject_id = ${stepUpId}`.execute(database.db);
  const sent = await untilSent(stepUpId);
  expect(sent.attempts).toBe(2);
  const told = receiver.received.filter((one) => one.data.step_up_id === stepUpId);
  expect(told.map((one) => [one.id, one.isGenuine])).toEqual([
    [sent.id, true],
    [sent.id, true],
  ]);
  expect(receiver.received.filter((one) => one.data.step_up_id === other)).toHaveLength(1);
}, 120_000);

test('F11: a server that is asked to stop while the receiver hangs stops in time, and another one delivers', async () => {
  receiver.answer = () => {};
  const stopping = await startNode();
  const stepUpId = await scene.ask('write_file', { path: 'stopped', content: 'x' });
  await until('the message arrived', () => receiver.received.find((one) => one.data.step_up_id === stepUpId));
  expect(await stopping.stop()).toBe(0);
  expect(await rowOf(stepUpId)).toMatchObject({ state: 'waiting', leased_until: null });
  receiver.answer = (response) => response.writeHead(204).end();
  await startNode();
  const sent = await untilSent(stepUpId);
  const told = receiver.received.filter((one) => one.data.step_up_id === stepUpId);
  expect(told.map((one) => one.id)).toEqual([sent.id, sent.id]);
}, 120_000);
