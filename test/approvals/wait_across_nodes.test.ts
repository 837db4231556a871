import type { KyselyPlugin } from 'kysely';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { findStepUp } from '../../src/approvals/status.ts';
import { waitForStepUp } from '../../src/approvals/wait.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { createMemoryEphemeralStore } from '../../src/store/memory/ephemeral.ts';
import { type Database, openDatabase } from '../../src/store/postgres/open.ts';
import type { Tables } from '../../src/store/postgres/tables.ts';
import type { Store } from '../../src/store/store.ts';
import { CHANNELS, waitFor } from '../../src/store/wake.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

// Two nodes: a pool and a handle on the shared store of wake-ups each. People decide at A, guards wait at B.
const LONG_MS = 20_000;
let database: TestDatabase;
let poolOfB: Database<Tables>;
let nodeB: Store;
let scene: Scenario;

beforeAll(async () => {
  database = await createTestDatabase();
  const shared = createMemoryEphemeralStore();
  poolOfB = openDatabase<Tables>({ connection: database.connection, poolMax: 4, log: silentLogger });
  nodeB = createTestStore(poolOfB, { ephemeral: { ...shared } });
  scene = await Scenario.create(createTestStore(database, { ephemeral: { ...shared } }));
});
afterAll(async () => {
  await poolOfB.close();
  await database.drop();
});

const ask = (path: string) => scene.ask('write_file', { path, content: 'x' });
const approve = (stepUpId: string) => scene.decide(stepUpId, scene.requester, 'approve');

/** B, where `meanwhile` happens after its first read looked and before the reader has the answer. */
function afterFirstRead(meanwhile: () => Promise<unknown>): Store {
  let isFirst = true;
  const plugin: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      if (isFirst) {
        isFirst = false;
        await meanwhile();
      }
      return result;
    },
  };
  return { ...nodeB, db: nodeB.db.withPlugin(plugin) };
}

const stateOf = async (store: Store, stepUpId: string): Promise<string | undefined> => {
  const state = (await findStepUp(store.db, stepUpId))!.state;
  return state === 'open' ? undefined : state;
};

test('a decision at another node between reading and waiting wakes the waiter', async () => {
  const stepUpId = await ask('a.md');
  const store = afterFirstRead(() => approve(stepUpId));
  const startedAt = performance.now();
  // Without the wake-up only the poll, far away, would find it.
  const found = await waitFor(store.ephemeral, CHANNELS.stepUp(stepUpId), () => stateOf(store, stepUpId), {
    timeoutMs: LONG_MS,
    pollMs: LONG_MS,
  });
  expect(found).toBe('approved');
  expect(performance.now() - startedAt).toBeLessThan(LONG_MS / 2);
});

test('the counter-proof: a waiter that reads before it registers sleeps through the same decision', async () => {
  const stepUpId = await ask('b.md');
  const store = afterFirstRead(() => approve(stepUpId));
  expect(await stateOf(store, stepUpId)).toBeUndefined();
  const woken = vi.fn();
  const unsubscribe = await store.ephemeral.subscribe(CHANNELS.stepUp(stepUpId), woken);
  // The channel works: the next message arrives, the one that mattered did not.
  await scene.store.ephemeral.publish(CHANNELS.stepUp(stepUpId), 'later');
  await vi.waitUntil(() => woken.mock.calls.length > 0);
  unsubscribe();
  expect(woken.mock.calls).toEqual([['later']]);
  expect(await stateOf(nodeB, stepUpId)).toBe('approved');
});

test('a decision while the waiter registers is seen, and many waiters at both nodes hear of one decision', async () => {
  const stepUpId = await ask('c.md');
  const slow: Store = {
    ...nodeB,
    ephemeral: {
      ...nodeB.ephemeral,
      subscribe: async (channel, listener) => {
        await approve(stepUpId);
        return nodeB.ephemeral.subscribe(channel, listener);
      },
    },
  };
  const wait = (store: Store) => waitForStepUp(store, { stepUpId, toolServerId: scene.server.id, timeoutMs: LONG_MS });
  const waiting = [nodeB, nodeB, scene.store, scene.store].map(wait);
  const answers = await Promise.all([wait(slow), ...waiting]);
  expect(answers.map((answer) => answer.ok && answer.value.state)).toEqual(Array(5).fill('approved'));
});
