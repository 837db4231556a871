import { exportJWK, generateKeyPair } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { proposeAgent } from '../../src/agents/propose.ts';
import { type Agent, createAgent, findAgent } from '../../src/agents/registry.ts';
import { replaceAgentKeys } from '../../src/agents/replace_keys.ts';
import { sweepAgents } from '../../src/agents/sweep.ts';
import { BY_SERVER } from '../../src/model/acting.ts';
import type { AgentsTable } from '../../src/store/postgres/tables.ts';
import type { Store } from '../../src/store/store.ts';
import { offboardAgent } from '../../src/tasks/revoke/offboard_agent.ts';
import { suspendAgent } from '../../src/tasks/revoke/suspend_agent.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

const DAY_MS = 86_400_000;
let database: TestDatabase;
let scene: Scenario;
let store: Store;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  scene = await Scenario.create(store);
});
afterAll(() => database.drop());

const newKey = async () => exportJWK((await generateKeyPair('ES256')).publicKey);

async function agentWith(columns: Partial<{ [Name in keyof AgentsTable]: unknown }>): Promise<Agent> {
  const made = await createAgent(store, {
    ...{ name: 'Notes', purpose: 'Keeps notes', ownerId: scene.requester.person.id, bound: null },
    ...{ by: scene.administrator.person.id, keys: [await newKey()] },
  });
  if (!made.ok) throw new Error(made.refusal.message);
  await database.db
    .updateTable('agents')
    .set(columns as never)
    .where('id', '=', made.value.id)
    .execute();
  return now(made.value.id);
}

const now = async (id: string) => (await findAgent(store, id))!;
const daysAgo = (days: number) => new Date(Date.now() - days * DAY_MS);

const sweep = () =>
  sweepAgents(store, {
    suspend: (agentId, reason) => suspendAgent(store, { agentId, by: BY_SERVER, reason }),
    offboard: (agentId, reason) => offboardAgent(store, { agentId, by: BY_SERVER, reason }),
  });

async function eventsOf(kind: string, { id }: Agent) {
  return (await scene.events(kind)).filter((event) => (event.ids as Record<string, unknown>).agent === id);
}

describe('the deadline for keys', () => {
  test('is said once when four fifths have passed, and suspends at its end', async () => {
    const early = await agentWith({ key_days: 100, key_changed_at: daysAgo(79) });
    const due = await agentWith({ key_days: 100, key_changed_at: daysAgo(81) });
    const over = await agentWith({ key_days: 100, key_changed_at: daysAgo(101) });
    const free = await agentWith({ key_changed_at: daysAgo(4000) });
    // Many servers sweep; each step is done once.
    await Promise.all(Array.from({ length: 20 }, sweep));
    expect(await eventsOf('agent.keys_due', early)).toHaveLength(0);
    expect(await eventsOf('agent.keys_due', due)).toHaveLength(1);
    expect(await now(early.id)).toMatchObject({ state: 'active', key_warned_at: null });
    expect(await now(due.id)).toMatchObject({ state: 'active', key_warned_at: expect.any(Date) });
    expect(await now(over.id)).toMatchObject({ state: 'suspended', state_reason: expect.stringContaining('keys') });
    expect(await eventsOf('agent.suspended', over)).toMatchObject([{ ids: { by: 'server', by_kind: 'server' } }]);
    expect((await now(free.id)).state).toBe('active');
  });

  test('begins anew with new keys, and so does its warning', async () => {
    const agent = await agentWith({ key_days: 100, key_changed_at: daysAgo(90) });
    await sweep();
    const by = { kind: 'person', id: scene.requester.person.id } as const;
    const replaced = await replaceAgentKeys(store, { agentId: agent.id, keys: [await newKey()], by });
    expect(replaced).toMatchObject({ ok: true, value: { key_warned_at: null } });
    await sweep();
    expect(await eventsOf('agent.keys_due', agent)).toHaveLength(1);
    await database.db
      .updateTable('agents')
      .set({ key_changed_at: daysAgo(85) })
      .where('id', '=', agent.id)
      .execute();
    await sweep();
    expect(await eventsOf('agent.keys_due', agent)).toHaveLength(2);
  });

  test('is not kept for an agent whose keys are not listed here: nobody knows their age', async () => {
    const agent = await agentWith({ key_days: 10, key_changed_at: daysAgo(50) });
    await database.db
      .updateTable('oauth_clients')
      .set({ metadata: JSON.stringify({ jwks_uri: 'https://agent.example/keys' }) })
      .where('client_id', '=', agent.client_id)
      .execute();
    await sweep();
    expect((await now(agent.id)).state).toBe('active');
  });
});

test('who has come to its end is offboarded, active or suspended; a proposal is refused', async () => {
  const active = await agentWith({ ends_at: daysAgo(1) });
  const suspended = await agentWith({ ends_at: daysAgo(1), state: 'suspended' });
  const later = await agentWith({ ends_at: daysAgo(-1) });
  const waiting = await proposeAgent(
    store,
    {
      ...{ name: 'Late', purpose: 'Late', ownerId: scene.requester.person.id },
      deputyId: scene.administrator.person.id,
      credentials: { keys: [await newKey()] },
    },
    { kind: 'person', id: scene.requester.person.id },
  );
  if (!waiting.ok) throw new Error(waiting.refusal.message);
  const pendingId = waiting.value.id;
  await database.db
    .updateTable('agents')
    .set({ ends_at: daysAgo(1) })
    .where('id', '=', pendingId)
    .execute();
  await Promise.all(Array.from({ length: 20 }, sweep));
  expect((await now(active.id)).state).toBe('offboarded');
  expect((await now(suspended.id)).state).toBe('offboarded');
  expect((await now(later.id)).state).toBe('active');
  expect(await eventsOf('agent.offboarded', active)).toHaveLength(1);
  expect((await now(pendingId)).state).toBe('offboarded');
  expect(await eventsOf('agent.offboarded', waiting.value)).toMatchObject([{ ids: { how: 'never_approved' } }]);
});

test('a review that is overdue is said once', async () => {
  const overdue = await agentWith({ review_days: 30, reviewed_at: daysAgo(31) });
  const inTime = await agentWith({ review_days: 30, reviewed_at: daysAgo(29) });
  await Promise.all(Array.from({ length: 20 }, sweep));
  await sweep();
  expect(await eventsOf('agent.review_due', overdue)).toHaveLength(1);
  expect(await eventsOf('agent.review_due', inTime)).toHaveLength(0);
  expect((await now(overdue.id)).state).toBe('active');
});
