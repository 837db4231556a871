import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Acting } from '../../../src/model/acting.ts';
import type { Store } from '../../../src/store/store.ts';
import { endTask } from '../../../src/tasks/finish.ts';
import { disablePerson } from '../../../src/tasks/revoke/disable_person.ts';
import { offboardAgent } from '../../../src/tasks/revoke/offboard_agent.ts';
import { revokeDelegation } from '../../../src/tasks/revoke/revoke_delegation.ts';
import { suspendAgent } from '../../../src/tasks/revoke/suspend_agent.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { Scenario } from '../../support/scenario.ts';
import { createTestStore } from '../../support/test_store.ts';
import { Chains, type Place } from './chains.ts';

/** Of each kind of work that goes on while something is revoked. */
const AT_ONCE = 8;
/** Tasks of one agent are begun one after the other. */
const BEGUN_AT_ONCE = 3;
/** PostgreSQL counts deadlocks a moment later. */
const COUNTED_MS = 1_500;

let database: TestDatabase;
let store: Store;
let scene: Scenario;
let chains: Chains;
let by: Acting;
let root: Place;
let hop: Place;
let sub: Place;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
afterEach(() => scene.freeNames());
beforeEach(async () => {
  const many = { stepUpsPerAgentPerMinute: 1_000, openStepUpsPerAgent: 1_000 };
  store = createTestStore(database, { rules: many });
  scene = await Scenario.create(store);
  by = { kind: 'person', id: scene.administrator.person.id };
  chains = new Chains(store, scene);
  root = await chains.start(await chains.addAgent());
  hop = (await chains.hand(root, await chains.addAgent()))!;
  sub = (await chains.begin(hop))!;
});

const REVOCATIONS: Record<string, () => Promise<unknown>> = {
  'offboarding the first agent': () => offboardAgent(store, { agentId: root.agentId, by, reason: '' }),
  'suspending the agent in the middle': () => suspendAgent(store, { agentId: hop.agentId, by, reason: '' }),
  'disabling the requester, who owns the agents': () =>
    disablePerson(store, { personId: scene.requester.person.id, by, reason: '' }),
  'ending the task': () => endTask(store, { taskId: root.taskId, how: 'cancelled', by: { agentId: root.agentId } }),
  'ending the sub-task': () => endTask(store, { taskId: sub.taskId, how: 'cancelled', by: { agentId: sub.agentId } }),
  'revoking the delegation in the middle': () =>
    revokeDelegation(store, { delegationId: hop.delegationId, by, reason: '' }),
  'ending task, sub-task, delegation and both agents at once': () =>
    Promise.all([
      endTask(store, { taskId: root.taskId, how: 'cancelled', by: { agentId: root.agentId } }),
      endTask(store, { taskId: sub.taskId, how: 'cancelled', by: { agentId: sub.agentId } }),
      revokeDelegation(store, { delegationId: hop.delegationId, by, reason: '' }),
      offboardAgent(store, { agentId: root.agentId, by, reason: '' }),
      offboardAgent(store, { agentId: hop.agentId, by, reason: '' }),
    ]),
};

/** Everything that lies below the place that all revocations of this file reach. */
async function leftBelow({ delegationId }: Place): Promise<{ delegations: number; stepUps: number; grants: number }> {
  const { rows: ids } = await sql<{ id: string }>`select id from delegations
    where delegation_chain @> array[${delegationId}]::text[]`.execute(database.db);
  const live = await Promise.all(ids.map(({ id }) => chains.isLive({ delegationId: id, taskId: '', agentId: '' })));
  const { rows } = await sql<{ step_ups: number; grants: number }>`select
      count(*) filter (where s.state in ('registered', 'open'))::int as step_ups,
      count(*) filter (where g.revoked_at is null and g.uses < g.max_uses)::int as grants
    from step_ups s left join grants g on g.step_up_id = s.id
    where s.delegation_id = any(${ids.map(({ id }) => id)}::text[])`.execute(database.db);
  return { delegations: live.filter(Boolean).length, stepUps: rows[0]!.step_ups, grants: rows[0]!.grants };
}

it.each(Object.keys(REVOCATIONS))('%s, while others start, hand on, ask, decide and redeem below it', async (name) => {
  await chains.actAt(sub);
  const ready: string[] = [];
  for (let index = 0; index < 2 * AT_ONCE; index += 1) {
    ready.push(await scene.ask('write_file', { path: `${index}`, content: 'x' }));
  }
  for (const stepUp of ready.slice(0, AT_ONCE)) await scene.decide(stepUp, scene.requester, 'approve');
  let isAcknowledged = false;
  const redeemed: { readonly ok: boolean; readonly wasAskedAfter: boolean }[] = [];
  const redeem = async (index: number) => {
    const wasAskedAfter = isAcknowledged;
    const answer = await scene.redeem('write_file', { path: `${index}`, content: 'x' });
    redeemed.push({ ok: answer.ok, wasAskedAfter });
  };
  const others = (turn: number) => {
    const work: Promise<unknown>[] = [
      ...Array.from({ length: AT_ONCE }, (_, index) => redeem(index)),
      ...ready.slice(AT_ONCE).map((stepUp) => scene.decide(stepUp, scene.requester, 'approve')),
      ...Array.from({ length: BEGUN_AT_ONCE }, () => chains.begin(sub)),
      ...Array.from({ length: AT_ONCE }, () => chains.hand(sub, hop.agentId)),
      ...Array.from({ length: AT_ONCE }, (_, index) =>
        scene.evaluate('write_file', { path: `new ${turn} ${index}`, content: 'x' }),
      ),
    ];
    // Whoever waits too long for a lock is told so; nothing is claimed of them.
    return work.map((one) => one.catch((error: unknown) => error));
  };
  const first = others(1);
  const revoking = REVOCATIONS[name]!().then((answer) => {
    isAcknowledged = true;
    return answer;
  });
  const second = others(2);
  const answer = await revoking;
  for (const one of [answer].flat()) expect(one).toMatchObject({ ok: true });
  const third = others(3);
  await Promise.all([...first, ...second, ...third]);
  expect(await leftBelow(sub)).toEqual({ delegations: 0, stepUps: 0, grants: 0 });
  expect(redeemed.filter((one) => one.wasAskedAfter && one.ok)).toEqual([]);
});

it('nobody ever waited for each other in a circle', async () => {
  await sleep(COUNTED_MS);
  const { rows } = await sql<{ deadlocks: number }>`select deadlocks::int from pg_stat_database
    where datname = current_database()`.execute(database.db);
  expect(rows).toEqual([{ deadlocks: 0 }]);
});
