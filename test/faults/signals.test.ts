import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Part, startPart } from '../../examples/demo/parts.ts';
import type { ServerReady } from '../../examples/demo/set_up.ts';
import { append } from '../../src/events/append.ts';
import { newId } from '../../src/kernel/ids.ts';
import { openKeyring } from '../../src/keys/keyring.ts';
import { makeStream } from '../../src/signals/streams/make_stream.ts';
import type { Store } from '../../src/store/store.ts';
import { transact } from '../../src/store/transact.ts';
import { SetReceiver, subjectId } from '../signals/set_receiver.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';
import { killHard, until } from './installation.ts';
import { type NodeConfig, nodeConfig } from './node_config.ts';

// Real processes that are killed while they turn the log into messages and push them: every event arrives, in order, and
// what arrives again has the same id.

const AUDIENCE = 'siem';

let database: TestDatabase;
let store: Store;
let receiver: SetReceiver;
let config: NodeConfig;
const parts: Part<ServerReady>[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  const keyring = await openKeyring(store);
  const keys = keyring.published('token');
  await keyring.stop();
  receiver = await SetReceiver.open(() => keys, { issuer: store.issuer, audience: AUDIENCE });
  config = await nodeConfig({ issuer: store.issuer, database, receiver });
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

test('kill -9 of whoever pushes, twice: every event arrives in order, and a repetition has the same id', async () => {
  const made = await makeStream(store, {
    ...{ receiver: AUDIENCE, apiTokenId: 'apt_test', eventsRequested: [], description: null },
    delivery: { method: 'urn:ietf:rfc:8935', endpoint_url: receiver.url },
    allowedHosts: [receiver.host],
  });
  if (!made.ok) throw new Error(made.refusal.message);
  const nodes = [await startNode(), await startNode()];
  let isEnding = false;
  const ended: string[] = [];
  const ending = (async () => {
    while (!isEnding) {
      const task = newId('tsk');
      await transact(store, (tx, afterCommit) =>
        append(store, tx, afterCommit, { kind: 'task.ended', ids: { task, how: 'completed', by: newId('agt') } }),
      );
      ended.push(task);
      await sleep(20);
    }
  })();
  for (const [index, dying] of nodes.entries()) {
    const at = receiver.received.length + 20;
    await until('events arrive', () => (receiver.received.length >= at ? true : undefined));
    // In the middle of a request, whichever of them pushes now.
    const held: ServerResponse[] = [];
    receiver.answer = (response) => void held.push(response);
    await until('an event is being pushed', () => held[0]);
    await killHard(dying);
    receiver.answer = (response) => response.writeHead(202).end();
    for (const response of held) response.writeHead(202).end();
    if (index === 0) await startNode();
    // What a minute would do.
    await sql`update signal_streams set leased_until = clock_timestamp()`.execute(database.db);
  }
  const at = receiver.received.length + 20;
  await until('events arrive from the last process', () => (receiver.received.length >= at ? true : undefined));
  isEnding = true;
  await ending;
  await until('nothing waits', async () => {
    await sql`update signal_streams set leased_until = null where leased_until < clock_timestamp()`.execute(
      database.db,
    );
    const { rows } = await sql<{ behind: number; waiting: number }>`
      select (select coalesce(max(size), 0) from checkpoints) - min(position) as behind,
        (select count(*) from events where position is null) + (select count(*) from signal_messages) as waiting
      from signal_streams`.execute(database.db);
    return Number(rows[0]!.behind) === 0 && Number(rows[0]!.waiting) === 0 ? true : undefined;
  });
  const { rows: sealed } = await sql<{ task: string }>`
    select body::jsonb #>> '{ids,task}' as task from events where kind = 'task.ended' order by position`.execute(
    database.db,
  );
  const firsts = new Map<string, string>();
  for (const set of receiver.received) if (!firsts.has(set.jti)) firsts.set(set.jti, subjectId(set));
  expect(sealed.map(({ task }) => task).sort()).toEqual([...ended].sort());
  expect([...firsts.values()]).toEqual(sealed.map(({ task }) => task));
}, 120_000);
