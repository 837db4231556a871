import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Channel, Delivery, Message } from '../../src/approvals/channel.ts';
import { createWebhookChannel } from '../../src/approvals/channels/webhook/outbound.ts';
import { parseSecret } from '../../src/approvals/channels/webhook/signature.ts';
import { type DeliveryTimes, startDelivery } from '../../src/approvals/deliver.ts';
import { expireDue } from '../../src/approvals/expire.ts';
import { DELIVERY_ATTEMPTS_MAX, SENDS_AT_A_TIME_MAX } from '../../src/approvals/limits.ts';
import { enqueue, pruneOutbox } from '../../src/approvals/outbox.ts';
import { withdrawStepUp } from '../../src/approvals/withdraw.ts';
import { type Logger, silentLogger } from '../../src/kernel/logger.ts';
import { createSafeFetch } from '../../src/kernel/safe_fetch.ts';
import { openDatabase } from '../../src/store/postgres/open.ts';
import type { Tables } from '../../src/store/postgres/tables.ts';
import type { Store } from '../../src/store/store.ts';
import { transact } from '../../src/store/transact.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';
import { Receiver, SECRET } from './channels/webhook/receiver.ts';

// The outbox in a real PostgreSQL, workers with a pool each as in processes of their own, a receiver behind real HTTP.

const RULES = { channels: ['webhook'], stepUpsPerAgentPerMinute: 1_000, openStepUpsPerAgent: 1_000 };
const NODES = 3;
const QUICK: Partial<DeliveryTimes> = { pollMs: 40, backOffMs: 40 };

let database: TestDatabase;
let store: Store;
let scene: Scenario;
let receiver: Receiver;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  store = createTestStore(database, { rules: RULES });
  scene = await Scenario.create(store);
  receiver = await Receiver.open();
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await receiver.close();
  await scene.freeNames();
  await sql`truncate outbox, outbox_pauses`.execute(database.db);
});

/** A process of its own as far as the outbox can tell: pool, wake-ups and worker are not those of the test. */
function startNode(channels: readonly Channel[] = [webhook()], times = QUICK, log: Logger = silentLogger) {
  const { db, close } = openDatabase<Tables>({ connection: database.connection, poolMax: 4, log: silentLogger });
  const delivery = startDelivery(createTestStore({ db }, { rules: RULES, log }), channels, times);
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopping ??= delivery.stop().then(close);
    return stopping;
  };
  closing.push(stop);
  return { stop };
}

function webhook(sendMs = 10_000): Channel {
  const fetch = createSafeFetch({ allowedHosts: [receiver.host], timeoutMs: sendMs });
  return createWebhookChannel({ url: new URL(receiver.url), keys: [parseSecret(SECRET)!] }, fetch);
}

/** A channel that answers as it is told, and keeps what it was given. */
function scripted(name: string, answer: (message: Message, signal: AbortSignal) => Promise<Delivery>) {
  const messages: Message[] = [];
  const send = (message: Message, signal: AbortSignal) => {
    messages.push(message);
    return answer(message, signal);
  };
  return { name, send, messages };
}

const ask = (path: string) => scene.ask('write_file', { path, content: 'x' });
const outbox = () => database.db.selectFrom('outbox').selectAll().orderBy('created_at').execute();
const inState = async (state: string) => (await outbox()).filter((row) => row.state === state);
const until = (check: () => Promise<void> | void) => vi.waitFor(check, { timeout: 20_000, interval: 25 });
const untilFinished = () => until(async () => expect(await inState('waiting')).toEqual([]));

async function askMany(count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let index = 0; index < count; index += 1) ids.push(await ask(`notes/${index}`));
  return ids;
}

describe('what is told', () => {
  test('a step-up that opens, and how it ended, in this order, each with what happened', async () => {
    startNode();
    const approved = await ask('a');
    const denied = await ask('b');
    const withdrawn = await ask('c');
    const expired = await ask('d');
    await until(() => expect(receiver.ids('step_up.opened')).toHaveLength(4));
    await scene.decide(approved, scene.requester, 'approve');
    await scene.decide(denied, scene.requester, 'deny', { reason: 'No.' });
    await withdrawStepUp(store, { stepUpId: withdrawn, toolServerId: scene.server.id, reason: 'x' });
    await sql`update step_ups set expires_at = clock_timestamp() where id = ${expired}`.execute(database.db);
    await expireDue(store);
    await until(() => expect(receiver.received).toHaveLength(8));
    await untilFinished();
    for (const [id, state] of Object.entries({
      [approved]: 'approved',
      [denied]: 'denied',
      [withdrawn]: 'withdrawn',
      [expired]: 'expired',
    })) {
      const told = receiver.received.filter((one) => one.data.step_up_id === id);
      expect(told.map((one) => [one.type, one.data.state])).toEqual([
        ['step_up.opened', 'open'],
        ['step_up.decided', state],
      ]);
      expect(told[0]?.data).toMatchObject({
        tool: 'write_file',
        tool_server: 'files',
        agent: 'Notes agent',
        requester: 'Ada',
        approval_url: `http://localhost:9400/step-ups/${id}`,
      });
    }
    expect(receiver.received.every((one) => one.isGenuine)).toBe(true);
    expect(new Set(receiver.ids()).size).toBe(8);
    const everything = receiver.received.map((one) => one.text).join();
    for (const secret of ['content', 'No.', 'notes', 'binding', 'gra_', 'txn_'])
      expect(everything).not.toContain(secret);
  });

  test('nobody is told of a step-up that never opened, nor where no channel is configured', async () => {
    const evaluated = await scene.evaluate('write_file', { path: 'registered', content: 'x' });
    if (evaluated.decision !== 'step_up') throw new Error('expected a step-up');
    const stepUpId = evaluated.step_up.step_up_id;
    await withdrawStepUp(store, { stepUpId, toolServerId: scene.server.id, reason: 'x' });
    await scene.freeNames();
    scene = await Scenario.create(createTestStore(database));
    const silent = await ask('silent');
    await scene.decide(silent, scene.requester, 'approve');
    expect(await outbox()).toEqual([]);
  });

  test('a request that was decided before anybody could be told is dropped, the decision is told', async () => {
    const stepUpId = await ask('quick');
    await scene.decide(stepUpId, scene.requester, 'approve');
    startNode();
    await untilFinished();
    expect(receiver.received.map((one) => one.type)).toEqual(['step_up.decided']);
    expect(await inState('dropped')).toMatchObject([{ kind: 'step_up.opened', subject_id: stepUpId }]);
  });

  test('so is one whose time was over, before the sweep noticed', async () => {
    const stepUpId = await ask('late');
    await sql`update step_ups set expires_at = clock_timestamp() where id = ${stepUpId}`.execute(database.db);
    startNode();
    await untilFinished();
    expect(receiver.received).toEqual([]);
  });

  test('a decision waits while the news of its request is on its way', async () => {
    const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
    const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>();
    const channel = scripted('webhook', async (message) => {
      if (message.kind === 'step_up.opened') {
        arrive();
        await mayGoOn;
      }
      return { kind: 'sent' };
    });
    for (let node = 0; node < NODES; node += 1) startNode([channel]);
    const stepUpId = await ask('ordered');
    await arrived;
    await scene.decide(stepUpId, scene.requester, 'approve');
    await sleep(400);
    expect(channel.messages.map((one) => one.kind)).toEqual(['step_up.opened']);
    goOn();
    await untilFinished();
    expect(channel.messages.map((one) => one.kind)).toEqual(['step_up.opened', 'step_up.decided']);
  });

  test('what is rolled back is not told', async () => {
    const stepUpId = await ask('rolled back');
    const failed = transact(store, async (tx, afterCommit) => {
      await enqueue(store, tx, afterCommit, { kind: 'step_up.decided', stepUpId });
      throw new Error('rolled back');
    });
    await expect(failed).rejects.toThrow('rolled back');
    expect(await outbox()).toMatchObject([{ kind: 'step_up.opened' }]);
  });

  test('texts of agents are bounded, on one line, with deceptive characters named', async () => {
    const evil = `Payroll\u202e\r\n${'x'.repeat(400)}`;
    const stepUpId = await ask('evil');
    const { db } = database;
    await db.updateTable('agents').set({ name: evil }).where('id', '=', scene.claims.client_id).execute();
    const named = db.updateTable('people').set({ display_name: 'Payroll\u202e' });
    await named.where('id', '=', scene.requester.person.id).execute();
    await db.updateTable('tool_servers').set({ name: evil }).where('id', '=', scene.server.id).execute();
    await db.updateTable('step_ups').set({ tool_name: evil }).where('id', '=', stepUpId).execute();
    startNode();
    await untilFinished();
    const { agent, requester, tool_server, tool } = receiver.received[0]!.data;
    expect(requester).toBe('Payroll⟨U+202E⟩');
    for (const text of [agent, tool_server, tool]) {
      expect(text).toMatch(/^Payroll⟨U\+202E⟩ x+…$/);
      expect([...text!]).toHaveLength(201);
    }
  });
});

describe('many processes', () => {
  test(`${NODES} of them deliver 200 messages once each`, async () => {
    const ids = await askMany(200);
    for (let node = 0; node < NODES; node += 1) startNode();
    await untilFinished();
    expect(receiver.received).toHaveLength(200);
    expect(new Set(receiver.received.map((one) => one.data.step_up_id))).toEqual(new Set(ids));
    expect(receiver.received.every((one) => one.isGenuine)).toBe(true);
    expect((await inState('sent')).every((row) => row.attempts === 1)).toBe(true);
    expect(receiver.insideMost).toBeLessThanOrEqual(NODES * SENDS_AT_A_TIME_MAX);
  }, 60_000);

  test('the message of a process that vanished goes out again, with its id, when its lease ends', async () => {
    const vanished = scripted('webhook', async (_, signal) => {
      await once(signal, 'abort');
      return { kind: 'retry', reason: 'too late to tell', pauseMs: null };
    });
    startNode([vanished], { ...QUICK, leaseMs: 1_000, sendMs: 600_000 });
    const stepUpId = await ask('vanished');
    await until(() => expect(vanished.messages).toHaveLength(1));
    const { id } = vanished.messages[0]!;
    vanished.name = 'nothing it could take';
    startNode();
    await untilFinished();
    expect(receiver.received).toMatchObject([{ id, data: { step_up_id: stepUpId } }]);
    expect(await outbox()).toMatchObject([{ state: 'sent', attempts: 2 }]);
  });

  test('a process that stops gives back what it was sending', async () => {
    receiver.answer = () => {};
    const stopping = startNode();
    await ask('given back');
    await until(() => expect(receiver.received).toHaveLength(1));
    await stopping.stop();
    expect(await outbox()).toMatchObject([{ state: 'waiting', leased_until: null }]);
    expect(await pauses()).toEqual([]);
    receiver.answer = (response) => response.writeHead(204).end();
    startNode();
    await untilFinished();
    expect(new Set(receiver.ids()).size).toBe(1);
    expect(receiver.received).toHaveLength(2);
  });
});

describe('F11, F12: receivers in trouble', () => {
  test('500 a few times: the same id each time, later and later, then sent', async () => {
    receiver.answer = (response) => response.writeHead(receiver.received.length < 4 ? 500 : 204).end();
    for (let node = 0; node < NODES; node += 1) startNode();
    await ask('flaky');
    await until(async () => expect(await inState('sent')).toHaveLength(1));
    expect(new Set(receiver.ids()).size).toBe(1);
    expect(await outbox()).toMatchObject([{ attempts: 4, last_error: null }]);
    const gaps = receiver.received.slice(1).map((one, index) => one.at - receiver.received[index]!.at);
    for (const [index, gap] of gaps.entries()) expect(gap).toBeGreaterThanOrEqual(20 * 2 ** index);
  });

  test('429 with Retry-After: no process sends anything before, and nothing is lost', async () => {
    let isRefusing = true;
    receiver.answer = (response) => {
      if (isRefusing) response.writeHead(429, { 'retry-after': '2' }).end();
      else response.writeHead(204).end();
    };
    await askMany(40);
    for (let node = 0; node < NODES; node += 1) startNode();
    await until(async () => expect(await pauses()).toHaveLength(1));
    await sleep(1_000);
    expect(receiver.received.length).toBeLessThanOrEqual(NODES * SENDS_AT_A_TIME_MAX);
    isRefusing = false;
    const refused = receiver.received.length;
    await untilFinished();
    expect(receiver.received).toHaveLength(40 + refused);
    expect(await inState('sent')).toHaveLength(40);
    const last = receiver.received[refused - 1]!;
    expect(receiver.received[refused]!.at - last.at).toBeGreaterThanOrEqual(1_900);
  });

  test('a receiver that hangs holds up no other channel, and gets few requests at a time', async () => {
    receiver.answer = () => {};
    const rules = { ...RULES, channels: ['webhook', 'other'] };
    await scene.freeNames();
    scene = await Scenario.create(createTestStore(database, { rules }));
    const other = scripted('other', async () => ({ kind: 'sent' }));
    for (let node = 0; node < 2; node += 1) startNode([webhook(1_000), other]);
    await askMany(20);
    await until(() => expect(other.messages).toHaveLength(20));
    expect(receiver.insideMost).toBeLessThanOrEqual(2 * SENDS_AT_A_TIME_MAX);
    await until(async () => expect(await pauses()).toMatchObject([{ channel: 'webhook' }]));
    const waiting = await inState('waiting');
    expect(waiting).toHaveLength(20);
    expect(waiting.every((row) => row.channel === 'webhook')).toBe(true);
  });

  test('attempts are bounded: then it is failed, with the reason, and an operator reads of it', async () => {
    receiver.answer = (response) => response.writeHead(500).end();
    const lines: { fields: object; message: string }[] = [];
    const log = { ...silentLogger, error: (fields: object, message: string) => void lines.push({ fields, message }) };
    const stepUpId = await ask('hopeless');
    await database.db
      .updateTable('outbox')
      .set({ attempts: DELIVERY_ATTEMPTS_MAX - 2 })
      .execute();
    startNode([webhook()], QUICK, log);
    await until(async () => expect(await outbox()).toMatchObject([{ last_error: 'The receiver answered 500.' }]));
    const [row] = await outbox();
    expect([row?.state, row!.due_at.getTime() - Date.now() > 1_000_000]).toEqual(['waiting', true]);
    await sql`update outbox set due_at = clock_timestamp()`.execute(database.db);
    await untilFinished();
    expect(receiver.received).toHaveLength(2);
    const reason = 'The receiver answered 500.';
    expect(await outbox()).toMatchObject([{ state: 'failed', attempts: DELIVERY_ATTEMPTS_MAX, last_error: reason }]);
    expect(lines).toMatchObject([
      { fields: { subject: stepUpId, reason }, message: expect.stringContaining('given up') },
    ]);
    expect(await scene.decide(stepUpId, scene.requester, 'approve')).toMatchObject({ ok: true });
  });

  test('410 ends it at once', async () => {
    receiver.answer = (response) => response.writeHead(410).end();
    startNode();
    await ask('gone');
    await untilFinished();
    expect(await outbox()).toMatchObject([{ state: 'failed', attempts: 1 }]);
  });

  test('a channel with a bug loses nothing and stops nobody', async () => {
    const channel = scripted('webhook', async () => {
      if (channel.messages.length === 1) throw new TypeError('a bug');
      return { kind: 'sent' };
    });
    startNode([channel]);
    await askMany(2);
    await untilFinished();
    expect(await inState('sent')).toHaveLength(2);
  });
});

test('old messages are deleted, also those that nobody sends any more', async () => {
  await ask('old');
  const kept = await ask('new');
  await sql`update outbox set created_at = created_at - interval '31 days' where subject_id <> ${kept}`.execute(
    database.db,
  );
  expect(await pruneOutbox(store)).toBe(1);
  expect(await outbox()).toMatchObject([{ subject_id: kept }]);
});

const pauses = () => database.db.selectFrom('outbox_pauses').selectAll().execute();
