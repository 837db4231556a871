import { exportJWK, generateKeyPair } from 'jose';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { changeAgent, pendingChangeOf } from '../../src/agents/change.ts';
import { AGENT_USE_RECORDED_SECONDS } from '../../src/agents/limits.ts';
import { type Agent, createAgent, findAgent } from '../../src/agents/registry.ts';
import { loadReview, reviewAgent } from '../../src/agents/review.ts';
import { flushAgentUses, recordAgentUse } from '../../src/agents/uses.ts';
import type { ToolSelection } from '../../src/store/postgres/tables.ts';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

let database: TestDatabase;
let scene: Scenario;
let store: Store;
let agent: Agent;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  scene = await Scenario.create(store);
});
afterAll(() => database.drop());
beforeEach(async () => {
  agent = await newAgent({ [scene.server.id]: ['erase_disk', 'read_file', 'write_file'] });
});

async function newAgent(bound: ToolSelection | null): Promise<Agent> {
  const made = await createAgent(store, {
    ...{ name: 'Notes', purpose: 'Keeps notes', ownerId: scene.requester.person.id, bound },
    ...{ by: scene.administrator.person.id, keys: [await exportJWK((await generateKeyPair('ES256')).publicKey)] },
  });
  if (!made.ok) throw new Error(made.refusal.message);
  return made.value;
}

const use = (toolName: string, agentIds = [agent.id]) =>
  recordAgentUse(store, { agentIds, toolServerId: scene.server.id, toolName });
const by = () => scene.requester.person.id;
const now = async () => (await findAgent(store, agent.id))!;

describe('what agents use', () => {
  test('is written down when it is flushed, for everybody in the chain, and the agent was used then', async () => {
    const other = await newAgent(null);
    for (let time = 0; time < 100; time += 1) use('read_file', [agent.id, other.id]);
    expect((await loadReview(store, agent)).tools.map((tool) => tool.last_used_at)).toEqual([null, null, null]);
    expect(await flushAgentUses(store)).toBe(2);
    expect(await flushAgentUses(store)).toBe(0);
    for (const one of [agent, other]) {
      const { tools } = await loadReview(store, one);
      expect(tools.filter((tool) => tool.last_used_at !== null).map((tool) => tool.tool)).toEqual(['read_file']);
      expect((await findAgent(store, one.id))!.last_used_at).toBeInstanceOf(Date);
    }
  });

  test('is written again only when what is written is old', async () => {
    const read = async () => {
      const { tools } = await loadReview(store, agent);
      return tools.find((tool) => tool.tool === 'read_file')!.last_used_at!;
    };
    use('read_file');
    await flushAgentUses(store);
    const first = await read();
    use('read_file');
    await flushAgentUses(store);
    expect(await read()).toEqual(first);
    const old = new Date(Date.now() - (AGENT_USE_RECORDED_SECONDS + 60) * 1000);
    await database.db.updateTable('agent_uses').set({ last_used_at: old }).where('agent_id', '=', agent.id).execute();
    use('read_file');
    await flushAgentUses(store);
    expect((await read()).getTime()).toBeGreaterThan(old.getTime() + 60_000);
  });

  test('is kept when it cannot be written, and written the next time', async () => {
    use('read_file');
    const broken = { db: store.db };
    await database.db.schema.alterTable('agent_uses').renameTo('agent_uses_away').execute();
    try {
      await expect(flushAgentUses(broken)).rejects.toThrow();
    } finally {
      await database.db.schema.alterTable('agent_uses_away').renameTo('agent_uses').execute();
    }
    use('write_file');
    expect(await flushAgentUses(store)).toBe(2);
  });

  test('comes from calls that are permitted or redeemed, and from no others', async () => {
    await scene.startTask();
    const { client_id: caller } = scene.claims;
    expect((await scene.evaluate('read_file', { path: '/a' })).decision).toBe('permit');
    const stepUpId = await scene.ask('write_file', { path: '/a', content: 'x' });
    await flushAgentUses(store);
    const used = async () =>
      (await database.db.selectFrom('agent_uses').select('tool_name').where('agent_id', '=', caller).execute())
        .map((row) => row.tool_name)
        .sort();
    expect(await used()).toEqual(['read_file']);
    const decided = await scene.decide(stepUpId, scene.requester, 'approve');
    expect(decided).toMatchObject({ ok: true });
    expect(await scene.redeem('write_file', { path: '/a', content: 'x' })).toMatchObject({ ok: true });
    await flushAgentUses(store);
    expect(await used()).toEqual(['read_file', 'write_file']);
  });

  test('can be written by many at once, who met it in different orders', async () => {
    const other = await newAgent(null);
    const tools = Array.from({ length: 400 }, (_, at) => `tool_${at}`);
    const stores = Array.from({ length: 10 }, () => ({ db: store.db.withoutPlugins() }));
    for (const [at, one] of stores.entries()) {
      for (const toolName of at % 2 === 0 ? tools : tools.toReversed()) {
        recordAgentUse(one, { agentIds: [other.id], toolServerId: scene.server.id, toolName });
      }
    }
    await Promise.all(stores.map((one) => sql`select pg_sleep(0.05)`.execute(one.db)));
    await Promise.all(stores.map((one) => flushAgentUses(one)));
    expect((await loadReview(store, other)).tools).toHaveLength(tools.length);
  });
});

describe('a review', () => {
  test('takes away what was never used, in one step, and is noted', async () => {
    use('read_file');
    await flushAgentUses(store);
    const review = await loadReview(store, agent);
    const unused = review.tools.filter((tool) => tool.last_used_at === null).map((tool) => tool.tool);
    expect(unused).toEqual(['erase_disk', 'write_file']);
    const old = new Date(0);
    await database.db
      .updateTable('agents')
      .set({ reviewed_at: old, review_warned_at: old })
      .where('id', '=', agent.id)
      .execute();
    const done = await reviewAgent(store, { agentId: agent.id, by: by(), remove: { [scene.server.id]: unused } });
    expect(done).toMatchObject({
      ok: true,
      value: { bound: { [scene.server.id]: ['read_file'] }, review_warned_at: null },
    });
    expect((await now()).reviewed_at.getTime()).toBeGreaterThan(Date.now() - 60_000);
    const reviewed = (await scene.events('agent.reviewed')).at(-1);
    expect(reviewed).toMatchObject({ ids: { agent: agent.id, removed: 2, by: by() } });
  });

  test('that finds everything needed changes nothing but its date', async () => {
    expect(await reviewAgent(store, { agentId: agent.id, by: by() })).toMatchObject({
      ok: true,
      value: { bound: agent.bound },
    });
  });

  test('never gives anything: what is to be taken and is not there stays away', async () => {
    const remove = { [scene.server.id]: ['read_file', 'nothing'], tsv_other: ['x'] };
    await reviewAgent(store, { agentId: agent.id, by: by(), remove });
    expect((await now()).bound).toEqual({ [scene.server.id]: ['erase_disk', 'write_file'] });
  });

  test('limits an agent without a bound to what it used, once', async () => {
    agent = await newAgent(null);
    use('read_file');
    await flushAgentUses(store);
    const limitTo = { [scene.server.id]: ['read_file'] };
    const remove = { agentId: agent.id, by: by(), remove: limitTo };
    expect(await reviewAgent(store, remove)).toMatchObject({ ok: false, refusal: { code: 'conflict' } });
    const review = { agentId: agent.id, by: by(), limitTo };
    expect(await reviewAgent(store, review)).toMatchObject({ ok: true, value: { bound: limitTo } });
    expect(await reviewAgent(store, { ...review, limitTo: { [scene.server.id]: ['erase_disk'] } })).toMatchObject({
      ok: false,
      refusal: { code: 'page_outdated' },
    });
  });

  test('takes a tool from a change that waits to give more as well', async () => {
    agent = await newAgent({ [scene.server.id]: ['read_file'] });
    const more = { [scene.server.id]: ['read_file', 'erase_disk'] };
    const asked = await changeAgent(store, {
      agentId: agent.id,
      terms: { bound: more },
      by: { kind: 'person', id: by() },
    });
    expect(asked.ok && pendingChangeOf(asked.value.agent)).toBeTruthy();
    await reviewAgent(store, { agentId: agent.id, by: by(), remove: { [scene.server.id]: ['read_file'] } });
    const { bound, pending_change: pending } = await now();
    expect({ bound, pending }).toEqual({ bound: {}, pending: null });
  });

  test('is none of the business of others', async () => {
    const stranger = await scene.addPerson('Sam', false);
    expect(await reviewAgent(store, { agentId: agent.id, by: stranger.person.id })).toMatchObject({
      ok: false,
      refusal: { code: 'not_found' },
    });
  });
});
