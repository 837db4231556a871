import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { pairToolServer } from '../../src/agents/pair_tool_server.ts';
import { findToolServer } from '../../src/agents/tool_servers.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

const READ = { path: 'notes/today.md' };
const WRITE = { path: 'notes/today.md', content: 'Buy milk.\n' };

let database: TestDatabase;
let scene: Scenario;
/** Acts at the address of the scenario's server. */
let acting: string;
let caller: string;

beforeAll(async () => {
  database = await createTestDatabase();
  scene = await Scenario.create(createTestStore(database));
});
afterAll(() => database.drop());
beforeEach(async () => {
  acting = scene.claims.client_id;
  await scene.startTask();
  caller = scene.claims.client_id;
});

function pair(agentId: string | null, by = scene.administrator.person.id) {
  return pairToolServer(scene.store, { toolServerId: scene.server.id, agentId, by });
}

function approve(agent_id: string, direction: 'to' | 'from', peer_id: string) {
  const row = { agent_id, direction, peer_id, approved_by: scene.administrator.person.id };
  return scene.store.db.insertInto('agent_peers').values(row).execute();
}

describe('naming the agent behind an address', () => {
  test('is for administrators, about active agents, and in the audit once', async () => {
    expect(await pair(acting, scene.requester.person.id)).toMatchObject({ refusal: { code: 'not_allowed' } });
    expect(await pair('agt_nobody')).toMatchObject({ refusal: { code: 'request_invalid' } });
    await scene.store.db.updateTable('agents').set({ state: 'suspended' }).where('id', '=', acting).execute();
    expect(await pair(acting)).toMatchObject({ refusal: { code: 'request_invalid' } });
    await scene.store.db.updateTable('agents').set({ state: 'active' }).where('id', '=', acting).execute();
    const before = (await scene.events('tool_server.paired')).length;
    expect(await pair(acting)).toMatchObject({ ok: true });
    expect(await pair(acting)).toMatchObject({ ok: true });
    expect((await findToolServer(scene.store, scene.server.id))?.agent_id).toBe(acting);
    const events = await scene.events('tool_server.paired');
    expect(events).toHaveLength(before + 1);
    expect(events.at(-1)?.ids).toMatchObject({ tool_server: scene.server.id, agent: acting });
    expect(await pair(null)).toMatchObject({ ok: true });
  });
});

describe('a call to the address of an agent', () => {
  beforeEach(() => pair(acting));

  test('is refused until each is a peer of the other', async () => {
    expect(await scene.evaluate('read_file', READ)).toMatchObject({ refusal: { error: 'peer_unknown' } });
    await approve(caller, 'to', acting);
    expect(await scene.evaluate('read_file', READ)).toMatchObject({ refusal: { error: 'peer_unknown' } });
    await approve(acting, 'to', caller);
    expect(await scene.evaluate('read_file', READ)).toMatchObject({ refusal: { error: 'peer_unknown' } });
    await approve(acting, 'from', caller);
    expect(await scene.evaluate('read_file', READ)).toMatchObject({ decision: 'permit' });
  });

  test('of a stranger runs where policy asks a person and that person approved it', async () => {
    const stepUp = await scene.ask('write_file', WRITE);
    await scene.decide(stepUp, scene.requester, 'approve');
    expect(await scene.redeem('write_file', WRITE)).toMatchObject({ ok: true });
  });

  test('by that agent itself, and calls to plain tool servers, need no peers', async () => {
    await pair(caller);
    expect(await scene.evaluate('read_file', READ)).toMatchObject({ decision: 'permit' });
    await pair(null);
    expect(await scene.evaluate('read_file', READ)).toMatchObject({ decision: 'permit' });
  });
});
