import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { viewStepUp } from '../../src/approvals/view.ts';
import { newId } from '../../src/kernel/ids.ts';
import type { SignedIn } from '../../src/model/person.ts';
import type { AskedResource } from '../../src/tasks/delegate.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addPeer, approvePeers, type Peer } from '../support/hops.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';
import { Delegating } from './delegating.ts';

// What the agent at the end of a chain does: judged by the whole chain, approved for this chain and no other.

let database: TestDatabase;
let scenario: Scenario;
let delegating: Delegating;
/** The scenario's own agent, and where its task begins. */
let first: Peer;
let root: string;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await scenario?.freeNames();
  scenario = await Scenario.create(createTestStore(database));
  delegating = new Delegating(scenario.store, scenario.book);
  const id = scenario.claims.act!.sub;
  first = { id, clientId: id, ownerId: scenario.requester.person.id, key: undefined as never };
  await database.db.updateTable('agents').set({ delegation_depth_max: 3 }).where('id', '=', id).execute();
  const begins = database.db.selectFrom('delegations').select('id').where('task_id', '=', scenario.claims.task.id);
  root = (await begins.executeTakeFirstOrThrow()).id;
});

async function handTo(from: string, giver: Peer, taker: Peer, asked: Partial<AskedResource> = {}, seconds?: number) {
  const known = database.db.selectFrom('agent_peers').where('agent_id', '=', giver.id).where('peer_id', '=', taker.id);
  if ((await known.selectAll().executeTakeFirst()) === undefined) await approvePeers(scenario.store, giver, taker);
  const resources = [{ resource: scenario.server.resource, ...asked }];
  const made = await delegating.handOn({ from, takerId: taker.id, resources, seconds });
  if (!made.ok) throw new Error(made.refusal.message);
  return made.value.delegationId;
}

/** From now on the calls of the scenario come from there. */
async function actAt(delegationId: string): Promise<void> {
  scenario.claims = await delegating.claimsAt(delegationId, scenario.server.resource);
}

const signedIn = (id: string): SignedIn => ({ ...scenario.requester, person: { ...scenario.requester.person, id } });

const write = { path: 'a', content: 'x' };

describe('an approval', () => {
  test('is won and used by the agent at the end of the chain', async () => {
    const second = await addPeer(scenario.store, 1);
    await actAt(await handTo(root, first, second));
    const id = await scenario.ask('write_file', write);
    expect(await scenario.decide(id, scenario.requester, 'approve')).toMatchObject({ ok: true });
    expect(await scenario.redeem('write_file', write)).toMatchObject({ ok: true });
    expect(await scenario.redeem('write_file', write)).toMatchObject({ ok: false });
  });

  test('shows the approver who handed it on, and changes what is signed as seen with it', async () => {
    const second = await addPeer(scenario.store, 1);
    const constraints = [{ tool: 'write_file', argument: '/path', must: { be: 'one_of', values: ['a'] } }] as const;
    await actAt(await handTo(root, first, second, { constraints: [...constraints] as never }));
    const stepUpId = await scenario.ask('write_file', write);
    const view = await viewStepUp(scenario.store, { stepUpId, personId: scenario.requester.person.id });
    if (!view.ok) throw new Error(view.refusal.message);
    expect(view.value.chain).toHaveLength(2);
    expect(view.value.chain[0]).toEqual({ agent: 'Notes agent', owner: 'Ada' });
    expect(view.value.chain[1]!.agent).toBe(view.value.agent.name);
    expect(view.value.conditions).toEqual(['/path is one of "a"']);
    await database.db.updateTable('agents').set({ name: 'Renamed' }).where('id', '=', first.id).execute();
    const after = await viewStepUp(scenario.store, { stepUpId, personId: scenario.requester.person.id });
    expect(after.ok && after.value.viewDigest).not.toBe(view.value.viewDigest);
  });

  test('survives that the agent renews its token', async () => {
    const second = await addPeer(scenario.store, 1);
    await actAt(await handTo(root, first, second));
    const id = await scenario.ask('write_file', write);
    await scenario.decide(id, scenario.requester, 'approve');
    await actAt(await handTo(root, first, second));
    expect(await scenario.redeem('write_file', write)).toMatchObject({ ok: true });
  });

  test('is for this way to the agent: not for another chain to it, nor for the agent that handed the work on', async () => {
    const [second, third] = [await addPeer(scenario.store, 2), await addPeer(scenario.store, 1)];
    const short = await handTo(root, first, third);
    const long = await handTo(await handTo(root, first, second), second, third);
    await actAt(short);
    await scenario.decide(await scenario.ask('write_file', write), scenario.requester, 'approve');
    for (const other of [long, root]) {
      await actAt(other);
      expect(await scenario.redeem('write_file', write)).toMatchObject({
        ok: false,
        refusal: { code: 'grant_missing' },
      });
      expect(await scenario.evaluate('write_file', write)).toMatchObject({ decision: 'step_up' });
    }
    await actAt(short);
    expect(await scenario.evaluate('write_file', write)).toMatchObject({ decision: 'approved' });
    expect(await scenario.redeem('write_file', write)).toMatchObject({ ok: true });
  });

  test('is lost with the delegation', async () => {
    const second = await addPeer(scenario.store, 1);
    const hop = await handTo(root, first, second);
    await actAt(hop);
    await scenario.decide(await scenario.ask('write_file', write), scenario.requester, 'approve');
    await database.db.updateTable('delegations').set({ revoked_at: new Date() }).where('id', '=', hop).execute();
    expect(await scenario.redeem('write_file', write)).toMatchObject({ ok: false, refusal: { code: 'task_ended' } });
  });
});

describe('a call', () => {
  test('outside what was handed on is denied, by tool and by argument', async () => {
    const second = await addPeer(scenario.store, 1);
    const constraint = { tool: 'read_file', argument: '/path', must: { be: 'one_of' as const, values: ['a'] } };
    await actAt(await handTo(root, first, second, { tools: ['read_file'], constraints: [constraint] }));
    expect(await scenario.evaluate('read_file', { path: 'a' })).toMatchObject({ decision: 'permit' });
    expect(await scenario.evaluate('read_file', { path: 'b' })).toMatchObject({
      decision: 'deny',
      refusal: { error: 'outside_delegation' },
    });
    expect(await scenario.evaluate('read_file', {})).toMatchObject({ refusal: { error: 'outside_delegation' } });
    expect(await scenario.evaluate('write_file', write)).toMatchObject({ refusal: { error: 'tool_not_in_task' } });
  });

  test('is judged by the constraints of every hop, and by the bound of every agent as it is now', async () => {
    const [second, third] = [await addPeer(scenario.store, 2), await addPeer(scenario.store, 1)];
    const only = (...values: string[]) => ({
      constraints: [{ tool: 'read_file', argument: '/path', must: { be: 'one_of' as const, values } }],
    });
    const middle = await handTo(root, first, second, only('a', 'b'));
    await actAt(await handTo(middle, second, third, only('b', 'c')));
    const decisions = await Promise.all(['a', 'b', 'c'].map((path) => scenario.evaluate('read_file', { path })));
    expect(decisions.map(({ decision }) => decision)).toEqual(['deny', 'permit', 'deny']);
    const bound = JSON.stringify({ [scenario.server.id]: ['write_file'] });
    await database.db.updateTable('agents').set({ bound }).where('id', '=', second.id).execute();
    expect(await scenario.evaluate('read_file', { path: 'b' })).toMatchObject({
      refusal: { error: 'tool_not_in_task' },
    });
  });
});

describe('nobody decides about a chain that they answer for', () => {
  /** An agent between the first and the last one, of which this person is owner, deputy, or was owner before. */
  const ROLES: Record<string, (agent: Peer, personId: string) => Promise<unknown>> = {
    owner: (agent, personId) =>
      database.db.updateTable('agents').set({ owner_id: personId }).where('id', '=', agent.id).execute(),
    deputy: (agent, personId) =>
      database.db.updateTable('agents').set({ deputy_id: personId }).where('id', '=', agent.id).execute(),
    'owner of before': (agent, personId) =>
      database.db
        .insertInto('agent_ownerships')
        .values({ id: newId('own'), agent_id: agent.id, person_id: personId, role: 'owner', until: new Date() })
        .execute(),
  };

  test.each([
    ['owner', 'first'],
    ['owner', 'middle'],
    ['owner', 'last'],
    ['deputy', 'middle'],
    ['owner of before', 'middle'],
  ])('%s of the %s agent', async (role, place) => {
    // `erase_disk` may be approved by administrators, so that only the chain can keep this one from it.
    const administrator = await scenario.addPerson('Linus', true);
    const other = await scenario.addPerson('Margaret', true);
    const [second, third] = [await addPeer(scenario.store, 2), await addPeer(scenario.store, 1)];
    const agent = { first, middle: second, last: third }[place]!;
    await ROLES[role]!(agent, administrator.person.id);
    await actAt(await handTo(await handTo(root, first, second), second, third));
    const id = await scenario.ask('erase_disk', { disk: 'sda' });
    const waited = { shownSecondsAgo: 60 };
    expect(await scenario.decide(id, administrator, 'approve', waited)).toMatchObject({
      ok: false,
      refusal: { code: 'not_an_approver' },
    });
    expect(await scenario.decide(id, other, 'approve', waited)).toMatchObject({ ok: true });
    expect(await scenario.redeem('erase_disk', { disk: 'sda' })).toMatchObject({ ok: true });
  });

  test('who takes over an agent of the chain after voting has a vote no more', async () => {
    const administrator = await scenario.addPerson('Linus', true);
    const second = await addPeer(scenario.store, 1);
    await actAt(await handTo(root, first, second));
    const id = await scenario.ask('erase_disk', { disk: 'sda' });
    const decided = await scenario.decide(id, administrator, 'approve', { shownSecondsAgo: 60 });
    expect(decided).toMatchObject({ ok: true });
    await ROLES.owner!(second, administrator.person.id);
    expect(await scenario.redeem('erase_disk', { disk: 'sda' })).toMatchObject({ ok: false });
  });

  test('the owner of an agent outside the chain may', async () => {
    const outsider = await addPeer(scenario.store, 1);
    await database.db
      .updateTable('people')
      .set({ is_administrator: true })
      .where('id', '=', outsider.ownerId)
      .execute();
    const second = await addPeer(scenario.store, 1);
    await actAt(await handTo(root, first, second));
    const id = await scenario.ask('erase_disk', { disk: 'sda' });
    const person = signedIn(outsider.ownerId);
    expect(await scenario.decide(id, person, 'approve', { shownSecondsAgo: 60 })).toMatchObject({ ok: true });
  });
});
