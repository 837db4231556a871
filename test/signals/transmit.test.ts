import { setTimeout as sleep } from 'node:timers/promises';
import type { JWK } from 'jose';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { append } from '../../src/events/append.ts';
import { type CheckpointKey, loadCheckpointKey } from '../../src/events/checkpoint_key.ts';
import { sealBatch } from '../../src/events/seal.ts';
import { newId } from '../../src/kernel/ids.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { createSafeFetch } from '../../src/kernel/safe_fetch.ts';
import { STREAM_MESSAGES_MAX } from '../../src/signals/limits.ts';
import { changeStatus } from '../../src/signals/streams/change_stream.ts';
import { makeStream } from '../../src/signals/streams/make_stream.ts';
import type { Stream } from '../../src/signals/streams/stream.ts';
import { listDeadLetters, retryDeadLetters } from '../../src/signals/transmit/dead_letters.ts';
import { fillStreams } from '../../src/signals/transmit/fill.ts';
import type { PushTimes } from '../../src/signals/transmit/push_stream.ts';
import { startTransmitting } from '../../src/signals/transmit/transmit.ts';
import { openDatabase } from '../../src/store/postgres/open.ts';
import type { Tables } from '../../src/store/postgres/tables.ts';
import type { Store } from '../../src/store/store.ts';
import { transact } from '../../src/store/transact.ts';
import { generatePrivateKeyJwk, importSigningKey } from '../../src/wire/signing_key.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';
import { SetReceiver, subjectId } from './set_receiver.ts';

// Streams in a real PostgreSQL, workers with a pool each as in processes of their own, a receiver behind real HTTP.

const OWNER = { receiver: 'siem', apiTokenId: 'apt_test' };
const PUSH = 'urn:ietf:rfc:8935' as const;
const QUICK: Partial<PushTimes> = { pollMs: 30, backOffMs: 30 };

let database: TestDatabase;
let store: Store;
let key: CheckpointKey;
let signer: JWK;
let receiver: SetReceiver;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  key = await loadCheckpointKey(store);
  const jwk = await generatePrivateKeyJwk();
  const { publicJwk } = await importSigningKey(jwk);
  signer = { ...jwk, ...publicJwk };
});
afterAll(() => database.drop());
beforeEach(async () => {
  await sql`truncate events, checkpoints, signal_streams cascade`.execute(database.db);
  const { d: _, ...publicJwk } = signer;
  receiver = await SetReceiver.open(() => [publicJwk], { issuer: store.issuer, audience: 'siem' });
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await receiver.close();
});

const until = (condition: () => boolean | Promise<boolean>) =>
  vi.waitUntil(condition, { timeout: 30_000, interval: 10 });
const rows = () => database.db.selectFrom('signal_messages').selectAll().orderBy('sequence_number').execute();
const stream = (id: string) =>
  database.db.selectFrom('signal_streams').selectAll().where('id', '=', id).executeTakeFirstOrThrow();

async function makePush(): Promise<Stream> {
  const delivery = { method: PUSH, endpoint_url: receiver.url, authorization_header: 'Bearer of-the-receiver' };
  const allowedHosts = [receiver.host];
  const made = await makeStream(store, { ...OWNER, delivery, eventsRequested: [], description: null, allowedHosts });
  if (!made.ok) throw new Error(made.refusal.message);
  return made.value;
}

/** Appends the end of so many tasks, one transaction each, seals them, and answers their ids in order of the log. */
async function endTasks(count: number): Promise<string[]> {
  const tasks = Array.from({ length: count }, () => newId('tsk'));
  for (const task of tasks) {
    await transact(store, (tx, afterCommit) =>
      append(store, tx, afterCommit, { kind: 'task.ended', ids: { task, how: 'completed', by: newId('agt') } }),
    );
  }
  await sealBatch(store, key, true);
  return tasks;
}

/** A process of its own as far as streams can tell: pool, wake-ups and worker are not those of the test. */
function startNode(times: Partial<PushTimes> = QUICK) {
  const { db, close } = openDatabase<Tables>({ connection: database.connection, poolMax: 4, log: silentLogger });
  const fetch = createSafeFetch({ allowedHosts: [receiver.host], timeoutMs: 10_000 });
  const transmitting = startTransmitting(createTestStore({ db }), { fetch, keyring: { signer: () => signer }, times });
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopping ??= transmitting.stop().then(close);
    return stopping;
  };
  closing.push(stop);
  return { stop };
}

/** A process that is often gone after it wrote everything, and before it committed. */
function failingBeforeCommit(fate: () => 'commit' | 'die'): Store['db'] {
  const transaction = () => ({
    execute: (work: (tx: unknown) => Promise<unknown>) =>
      store.db.transaction().execute(async (tx) => {
        const value = await work(tx);
        if (fate() === 'die') throw new Error('gone');
        return value;
      }),
  });
  return new Proxy(store.db, {
    get(target, name) {
      if (name === 'transaction') return transaction;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

describe('what is sealed becomes messages', () => {
  test('each event once and in order, however many processes are at it and however they die', async () => {
    const made = await Promise.all([makePush(), makePush()]);
    let writes = 0;
    const failing: Store = { ...store, db: failingBeforeCommit(() => (writes++ % 3 === 1 ? 'commit' : 'die')) };
    let isSealed = false;
    const workers = [store, failing, store, failing].map(async (worker) => {
      while (!isSealed) await fillStreams(worker).catch(() => {});
      await fillStreams(worker).catch(() => {});
    });
    const tasks: string[] = [];
    for (let round = 0; round < 8; round += 1) tasks.push(...(await endTasks(8)));
    isSealed = true;
    await Promise.all(workers);
    await fillStreams(store);
    const messages = await rows();
    expect(writes).toBeGreaterThan(0);
    for (const { id } of made) {
      const own = messages.filter((message) => message.stream_id === id);
      const about = own.map(({ claims }) => subjectId({ claims: JSON.parse(claims) }));
      expect(about).toEqual(tasks);
    }
    expect(new Set(messages.map(({ jti }) => jti)).size).toBe(messages.length);
  });

  test('a stream tells of nothing that was sealed before it was made, and of nothing it did not ask for', async () => {
    await endTasks(3);
    const delivery = { method: PUSH, endpoint_url: receiver.url };
    const eventsRequested = ['https://schemas.openid.net/secevent/caep/event-type/credential-change', 'urn:unknown'];
    const input = { ...OWNER, delivery, eventsRequested, description: null, allowedHosts: [receiver.host] };
    const made = await makeStream(store, input);
    if (!made.ok) throw new Error(made.refusal.message);
    await transact(store, (tx, afterCommit) =>
      append(store, tx, afterCommit, { kind: 'agent.keys_changed', ids: { agent: 'agt_a', by: 'prs_a' } }),
    );
    await endTasks(2);
    await fillStreams(store);
    const messages = await rows();
    expect(messages).toHaveLength(1);
    expect(JSON.parse(messages[0]!.claims)).toMatchObject({
      aud: 'siem',
      sub_id: { format: 'complex', application: { format: 'iss_sub', iss: store.issuer, sub: 'agt_a' } },
      events: {
        [eventsRequested[0]!]: {
          credential_type: 'private-key-jwt',
          change_type: 'update',
          initiating_entity: 'admin',
        },
      },
    });
  });

  test('a log that was restored, and gives positions anew, does not repeat an id', async () => {
    await makePush();
    await endTasks(1);
    await fillStreams(store);
    const [before] = await rows();
    await sql`truncate events, checkpoints, signal_messages`.execute(database.db);
    await sql`update signal_streams set position = 0`.execute(database.db);
    const { value } = await database.db
      .selectFrom('settings')
      .select('value')
      .where('name', '=', 'log_epoch')
      .executeTakeFirstOrThrow();
    await sql`update settings set value = '"another"' where name = 'log_epoch'`.execute(database.db);
    // As many as there were, so that one of them is where the first one was.
    await endTasks(5);
    await fillStreams(store);
    await sql`update settings set value = ${JSON.stringify(value)} where name = 'log_epoch'`.execute(database.db);
    const after = await rows();
    expect(after).toHaveLength(5);
    expect(after.map(({ jti }) => jti)).not.toContain(before!.jti);
  });
});

describe('push', () => {
  test('three processes push every event in order, each once, with the header the receiver asked for', async () => {
    const made = await makePush();
    for (const _ of [1, 2, 3]) startNode();
    const tasks = [...(await endTasks(25)), ...(await endTasks(25))];
    await until(() => receiver.received.length >= tasks.length);
    await until(async () => (await rows()).length === 0);
    expect(receiver.received.map(subjectId)).toEqual(tasks);
    expect(new Set(receiver.jtis()).size).toBe(tasks.length);
    expect(receiver.received[0]!.headers).toMatchObject({ authorization: 'Bearer of-the-receiver' });
    const { claims } = receiver.received[0]!;
    expect(claims).not.toHaveProperty('sub');
    expect(claims).not.toHaveProperty('exp');
    expect(claims.events).toEqual({
      'https://schemas.openid.net/secevent/caep/event-type/session-revoked': {
        event_timestamp: expect.any(Number),
        initiating_entity: 'system',
        reason_admin: { en: 'A task ended' },
      },
    });
    expect(await stream(made.id)).toMatchObject({ failures: 0, failing_since: null });
  });

  test('what was being sent when a process stopped comes again with the same id, from another process', async () => {
    await makePush();
    receiver.answer = () => {};
    const stopping = startNode();
    const [task] = await endTasks(1);
    await until(() => receiver.received.length === 1);
    await stopping.stop();
    receiver.answer = (response) => response.writeHead(202).end();
    startNode();
    await until(async () => (await rows()).length === 0);
    expect(receiver.received.map(subjectId)).toEqual([task, task]);
    expect(new Set(receiver.jtis()).size).toBe(1);
  });

  test('a receiver that fails gets everything in order once it works again', async () => {
    const made = await makePush();
    receiver.answer = (response) => response.writeHead(503).end();
    startNode();
    const tasks = await endTasks(5);
    await until(async () => (await stream(made.id)).failures >= 3);
    const failing = await stream(made.id);
    expect(failing.failing_since).not.toBeNull();
    expect(failing.last_error).toBe('The receiver answered 503.');
    // Nobody jumps the queue: all attempts were for the first.
    expect(new Set(receiver.received.map(subjectId))).toEqual(new Set([tasks[0]]));
    receiver.received.length = 0;
    receiver.answer = (response) => response.writeHead(202).end();
    await until(() => receiver.received.length >= tasks.length);
    expect(receiver.received.map(subjectId)).toEqual(tasks);
  });

  test('a message that its receiver refuses becomes a dead letter, those behind it go out, and it can be tried again', async () => {
    const made = await makePush();
    const tasks = await endTasks(3);
    const refuse = tasks[1]!;
    receiver.answer = (response, received) => {
      if (subjectId(received) !== refuse) return void response.writeHead(202).end();
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ err: 'invalid_key', description: 'secret words of the receiver' }));
    };
    startNode();
    await until(async () => (await listDeadLetters(store, made.id)).length === 1 && (await rows()).length === 1);
    const delivered = receiver.received.map(subjectId).filter((task) => task !== refuse);
    expect(delivered).toEqual([tasks[0], tasks[2]]);
    const [letter] = await listDeadLetters(store, made.id);
    expect(letter).toMatchObject({ attempts: 5, lastError: 'The receiver refused the event: invalid_key.' });
    expect(JSON.stringify(letter)).not.toContain('secret words');
    receiver.received.length = 0;
    receiver.answer = (response) => response.writeHead(202).end();
    expect(await retryDeadLetters(store, made.id, { kind: 'api_token', id: OWNER.apiTokenId })).toBe(1);
    await until(() => receiver.received.length === 1);
    expect(receiver.received[0]!.jti).toBe(letter!.jti);
    await until(async () => (await rows()).length === 0);
  });

  test('what a receiver failed to take for too long is given up, and what is younger still comes', async () => {
    const made = await makePush();
    receiver.answer = (response) => response.writeHead(500).end();
    startNode({ ...QUICK, undeliveredSeconds: 3_600 });
    const old = await endTasks(2);
    await until(async () => (await stream(made.id)).failures >= 1);
    await sql`update signal_streams set failing_since = failing_since - interval '2 hours'`.execute(database.db);
    await sql`update signal_messages set created_at = created_at - interval '2 hours'`.execute(database.db);
    const young = await endTasks(1);
    await until(async () => (await listDeadLetters(store, made.id)).length === 2);
    receiver.answer = (response) => response.writeHead(202).end();
    receiver.received.length = 0;
    await until(() => receiver.received.map(subjectId).includes(young[0]!));
    expect(receiver.received.map(subjectId)).not.toContain(old[0]);
  });
});

describe('paused and disabled', () => {
  const setStatus = (streamId: string, status: Stream['status']) =>
    changeStatus(store, OWNER, { streamId, status, reason: null });

  test('a paused stream keeps what comes, and sends it in order once it is enabled', async () => {
    const made = await makePush();
    await setStatus(made.id, 'paused');
    startNode();
    const tasks = await endTasks(4);
    await until(async () => (await rows()).length === 4);
    await sleep(200);
    expect(receiver.received).toEqual([]);
    await setStatus(made.id, 'enabled');
    await until(() => receiver.received.length === 4);
    expect(receiver.received.map(subjectId)).toEqual(tasks);
  });

  test('a disabled stream drops what waits and what comes', async () => {
    const made = await makePush();
    await setStatus(made.id, 'paused');
    startNode();
    await endTasks(2);
    await until(async () => (await rows()).length === 2);
    await setStatus(made.id, 'disabled');
    expect(await rows()).toEqual([]);
    await endTasks(2);
    await setStatus(made.id, 'enabled');
    const later = await endTasks(1);
    await until(() => receiver.received.length >= 1);
    await until(async () => (await rows()).length === 0);
    expect(receiver.received.map(subjectId)).toEqual(later);
  });
});

test('what waits is bounded: the rest stays in the log, and follows once there is room', async () => {
  const made = await makePush();
  await sql`
    insert into signal_messages (jti, stream_id, claims)
    select 'full-' || n, ${made.id}, '{}' from generate_series(1, ${STREAM_MESSAGES_MAX}) n`.execute(database.db);
  const tasks = await endTasks(2);
  expect(await fillStreams(store)).toBe(false);
  expect((await stream(made.id)).position).toBe(made.position);
  await sql`delete from signal_messages where jti = 'full-1'`.execute(database.db);
  await fillStreams(store);
  const last = (await rows()).slice(-2).map(({ claims }) => subjectId({ claims: JSON.parse(claims) }));
  expect(last).toEqual(tasks);
});

test('an address that is not public is not pushed to, and the message waits', async () => {
  const made = await makePush();
  await sql`update signal_streams set endpoint = 'http://127.0.0.2:9/events'`.execute(database.db);
  startNode();
  await endTasks(1);
  await until(async () => (await stream(made.id)).failures >= 1);
  expect((await stream(made.id)).last_error).toMatch(/must be https|not public/);
  expect(await rows()).toHaveLength(1);
  const refused = await makeStream(store, {
    ...OWNER,
    delivery: { method: PUSH, endpoint_url: 'https://169.254.169.254/latest' },
    eventsRequested: [],
    description: null,
    allowedHosts: [],
  });
  expect(refused).toMatchObject({ ok: false, refusal: { code: 'request_invalid' } });
});
