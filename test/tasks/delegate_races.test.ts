import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Acting } from '../../src/model/acting.ts';
import type { Store } from '../../src/store/store.ts';
import { endTask } from '../../src/tasks/finish.ts';
import { disablePerson } from '../../src/tasks/revoke/disable_person.ts';
import { offboardAgent } from '../../src/tasks/revoke/offboard_agent.ts';
import { revokeDelegation } from '../../src/tasks/revoke/revoke_delegation.ts';
import { suspendAgent } from '../../src/tasks/revoke/suspend_agent.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import type { Peer } from '../support/hops.ts';
import { addPerson, addToolServer, type TestToolServer } from '../support/oauth_server.ts';
import { createTestStore } from '../support/test_store.ts';
import { Delegating } from './delegating.ts';

// Design-review 16: exchanges that are under way when something they descend from is revoked. What they make is found by the
// revocation, or is refused; nothing is left alive.

const AT_ONCE = 24;

let database: TestDatabase;
let store: Store;
let delegating: Delegating;
let by: Acting;
let server: TestToolServer;
let requesterId: string;
/** Hands on, was handed to, and is handed to while something is revoked. */
let agents: readonly [Peer, Peer, Peer];
let root: string;
let middle: string;
let taskId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  delegating = await Delegating.create(store);
  server = await addToolServer(store);
  const administratorId = await addPerson(store, 'Grace');
  await store.db.updateTable('people').set({ is_administrator: true }).where('id', '=', administratorId).execute();
  by = { kind: 'person', id: administratorId };
});
afterAll(() => database.drop());
beforeEach(async () => {
  requesterId = await addPerson(store, 'Requester');
  agents = (await delegating.addPeers([2, 2, 2])) as unknown as [Peer, Peer, Peer];
  root = await delegating.start(agents[0], requesterId, { [server.id]: ['read_file', 'write_file'] });
  const hop = await delegating.handOn({
    from: root,
    takerId: agents[1].id,
    resources: [{ resource: server.resource }],
  });
  if (!hop.ok) throw new Error(hop.refusal.message);
  middle = hop.value.delegationId;
  taskId = (await delegating.chainAt(root)).task.id;
});

const REVOCATIONS: Record<string, () => Promise<unknown>> = {
  'offboarding the first agent': () => offboardAgent(store, { agentId: agents[0].id, by, reason: '' }),
  'suspending the first agent': () => suspendAgent(store, { agentId: agents[0].id, by, reason: '' }),
  'offboarding the agent that hands on': () => offboardAgent(store, { agentId: agents[1].id, by, reason: '' }),
  'offboarding the agent that takes': () => offboardAgent(store, { agentId: agents[2].id, by, reason: '' }),
  'disabling the requester': () => disablePerson(store, { personId: requesterId, by, reason: '' }),
  'disabling the owner of the first agent': () => disablePerson(store, { personId: agents[0].ownerId, by, reason: '' }),
  'disabling the owner of the agent that takes': () =>
    disablePerson(store, { personId: agents[2].ownerId, by, reason: '' }),
  'ending the task': () => endTask(store, { taskId, how: 'cancelled', by: { agentId: agents[0].id } }),
  'revoking the delegation in the middle': () => revokeDelegation(store, { delegationId: middle, by, reason: '' }),
};

/** Each of another content, so that each makes a delegation of its own. */
const exchanges = (count: number, first: number) =>
  Array.from({ length: count }, (_, index) =>
    delegating
      .handOn({
        from: middle,
        takerId: agents[2].id,
        resources: [{ resource: server.resource }],
        seconds: 1_000 + first + index,
      })
      // Once the middle has ended there is no token to exchange any more.
      .catch((error: unknown) => ({ ok: false as const, refusal: error })),
  );

async function liveBelowMiddle(): Promise<number> {
  const { rows } = await sql<{ id: string }>`select id from delegations
    where parent_id = ${middle} and kind = 'exchange'`.execute(database.db);
  const live = await Promise.all(rows.map(({ id }) => delegating.isLive(id)));
  return live.filter(Boolean).length;
}

const SUSPENDING = /^suspending|owner/;

async function unrevokedBelowMiddle(): Promise<number> {
  const { rows } = await sql<{ unrevoked: number; made: number }>`select
      count(*) filter (where revoked_at is null)::int as unrevoked, count(*)::int as made
    from delegations where parent_id = ${middle} and kind = 'exchange'`.execute(database.db);
  expect(rows[0]!.made).toBeGreaterThan(0);
  return rows[0]!.unrevoked;
}

describe(`${AT_ONCE} exchanges while somebody is`, () => {
  test.each(Object.keys(REVOCATIONS))('%s', async (name) => {
    const before = exchanges(AT_ONCE / 2, 0);
    const firstMade = await Promise.race(before);
    const revoking = REVOCATIONS[name]!();
    const during = exchanges(AT_ONCE / 2, AT_ONCE);
    expect(firstMade).toMatchObject({ ok: true });
    expect(await revoking).toMatchObject({ ok: true });
    await Promise.all([...before, ...during]);
    expect(await liveBelowMiddle()).toBe(0);
    // A suspended agent may come back, and its tasks with it; what was ended does not, whatever becomes of who ended it.
    if (!SUSPENDING.test(name)) expect(await unrevokedBelowMiddle()).toBe(0);
    const afterwards = await Promise.all(exchanges(2, 2 * AT_ONCE));
    expect(afterwards.map(({ ok }) => ok)).toEqual([false, false]);
  });
});

test('an approval of peers that is taken back is waited for, or found', async () => {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const removing = database.db.transaction().execute(async (tx) => {
    await tx.deleteFrom('agent_peers').where('agent_id', '=', agents[1].id).execute();
    await held;
  });
  const waiting = exchanges(4, 0);
  await sql`select pg_sleep(0.2)`.execute(database.db);
  release();
  await removing;
  const answers = await Promise.all(waiting);
  expect(answers.map((answer) => (answer.ok ? 'made' : (answer.refusal as { reason?: string }).reason))).toEqual(
    Array.from({ length: 4 }, () => 'peer_not_approved'),
  );
});
