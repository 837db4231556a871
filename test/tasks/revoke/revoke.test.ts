import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Acting } from '../../../src/model/acting.ts';
import type { Store } from '../../../src/store/store.ts';
import { endTask } from '../../../src/tasks/finish.ts';
import { offboardAgent } from '../../../src/tasks/revoke/offboard_agent.ts';
import { resumeAgent } from '../../../src/tasks/revoke/resume_agent.ts';
import { revokeDelegation } from '../../../src/tasks/revoke/revoke_delegation.ts';
import { revokeGrant } from '../../../src/tasks/revoke/revoke_grant.ts';
import { suspendAgent } from '../../../src/tasks/revoke/suspend_agent.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { Scenario } from '../../support/scenario.ts';
import { createTestStore } from '../../support/test_store.ts';
import { Chains, type Place } from './chains.ts';

let database: TestDatabase;
let store: Store;
let scene: Scenario;
let chains: Chains;
let administrator: Acting;
/** a's task; b below it by a hop; a sub-task of b; c below that by a hop. And a task of b that nobody else is in. */
let root: Place;
let hop: Place;
let sub: Place;
let last: Place;
let own: Place;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
afterEach(() => scene.freeNames());
beforeEach(async () => {
  store = createTestStore(database);
  scene = await Scenario.create(store);
  administrator = { kind: 'person', id: scene.administrator.person.id };
  chains = new Chains(store, scene);
  const [a, b, c] = [await chains.addAgent(), await chains.addAgent(), await chains.addAgent()];
  root = await chains.start(a);
  hop = (await chains.hand(root, b))!;
  sub = (await chains.begin(hop))!;
  last = (await chains.hand(sub, c))!;
  own = await chains.start(b);
});

const living = async () => {
  const places = { root, hop, sub, last, own };
  const found = await Promise.all(
    Object.entries(places).map(async ([name, place]) => ((await chains.isLive(place)) ? [name] : [])),
  );
  return found.flat();
};
const about = (ids: readonly string[]) => async (kind: string) =>
  (await scene.events(kind))
    .map((event) => event.ids as Record<string, string>)
    .filter((one) => ids.includes(one.task!));
const erase = (disk: string) => scene.ask('erase_disk', { disk });
const stateOf = async (stepUpId: string) =>
  await store.db
    .selectFrom('step_ups')
    .select(['state', 'reason'])
    .where('id', '=', stepUpId)
    .executeTakeFirstOrThrow();
const grantOf = (stepUpId: string) =>
  store.db.selectFrom('grants').selectAll().where('step_up_id', '=', stepUpId).executeTakeFirstOrThrow();

/** One call that waits for approval at this place, and one that was approved. */
async function waitAndApprove(place: Place, disk: string) {
  await chains.actAt(place);
  const waiting = await scene.ask('write_file', { path: disk, content: 'waits' });
  const approved = await scene.ask('write_file', { path: disk, content: 'approved' });
  await scene.decide(approved, scene.requester, 'approve');
  return { waiting, approved };
}

it('the chain lives as a whole before anything is revoked', async () => {
  expect(await living()).toEqual(['root', 'hop', 'sub', 'last', 'own']);
});

describe('offboarding an agent', () => {
  it('ends what it began and everything below, and says so once for each task', async () => {
    const below = await waitAndApprove(last, 'below');
    const beside = await waitAndApprove(own, 'beside');
    const ended = await offboardAgent(store, { agentId: root.agentId, by: administrator, reason: 'It misbehaved.' });
    expect(ended).toEqual({ ok: true, value: { tasks: 2, delegations: 2, step_ups: 1, grants: 1 } });
    expect(await living()).toEqual(['own']);
    expect(await stateOf(below.waiting)).toMatchObject({ state: 'withdrawn' });
    expect((await grantOf(below.approved)).revoked_at).not.toBeNull();
    expect(await stateOf(beside.waiting)).toMatchObject({ state: 'open' });
    expect((await grantOf(beside.approved)).revoked_at).toBeNull();
    const told = await about([root.taskId, sub.taskId])('task.ended');
    expect(told).toMatchObject([
      { how: 'cancelled', by: administrator.id, with: root.agentId },
      { how: 'cancelled', by: administrator.id, with: root.agentId },
    ]);
    expect(new Set(told.map((one) => one.task))).toEqual(new Set([root.taskId, sub.taskId]));
    expect(await about([root.taskId, sub.taskId])('delegation.revoked')).toEqual([]);
  });

  it('in the middle of a chain ends what hangs on it, and leaves what is above', async () => {
    const ended = await offboardAgent(store, { agentId: hop.agentId, by: administrator, reason: '' });
    expect(ended).toMatchObject({ ok: true, value: { tasks: 2, delegations: 2 } });
    expect(await living()).toEqual(['root']);
    expect(await about([root.taskId])('delegation.revoked')).toMatchObject([
      { delegation: hop.delegationId, agent: hop.agentId, with: hop.agentId },
    ]);
  });

  it('a second time is acknowledged and writes nothing', async () => {
    await offboardAgent(store, { agentId: root.agentId, by: administrator, reason: '' });
    const before = await scene.events('agent.offboarded');
    expect(await offboardAgent(store, { agentId: root.agentId, by: administrator, reason: '' })).toEqual({
      ok: true,
      value: { tasks: 0, delegations: 0, step_ups: 0, grants: 0 },
    });
    expect(await scene.events('agent.offboarded')).toEqual(before);
    expect(await resumeAgent(store, { agentId: root.agentId, by: administrator, reason: '' })).toMatchObject({
      refusal: { code: 'conflict' },
    });
  });

  it('is for administrators, owner and deputy, not for others and not for agents', async () => {
    const stranger = await scene.addPerson('Mallory', false);
    const { agentId } = root;
    for (const by of [
      { kind: 'person', id: stranger.person.id },
      { kind: 'agent', id: agentId },
    ] as const) {
      expect(await offboardAgent(store, { agentId, by, reason: '' })).toMatchObject({
        refusal: { code: 'not_allowed' },
      });
    }
    expect(await living()).toHaveLength(5);
    const owner = { kind: 'person', id: scene.requester.person.id } as const;
    expect(await offboardAgent(store, { agentId, by: owner, reason: '' })).toMatchObject({ ok: true });
  });

  it('retires its templates', async () => {
    const values = { id: 'tpl_one', name: 'Nightly', agent_id: root.agentId, requester_id: scene.requester.person.id };
    const rest = { purpose: 'x', purpose_code: '', tools: '{}', budget: null, seconds: 60, state: 'active' as const };
    const who = { proposed_by: scene.requester.person.id, approved_by: null, approved_at: null, ends_at: null };
    await store.db
      .insertInto('task_templates')
      .values({ ...values, ...rest, ...who })
      .execute();
    await offboardAgent(store, { agentId: root.agentId, by: administrator, reason: '' });
    const template = await store.db.selectFrom('task_templates').select('state').where('id', '=', 'tpl_one').execute();
    expect(template).toEqual([{ state: 'retired' }]);
  });
});

describe('suspending an agent', () => {
  it('withdraws and revokes what hangs on it, keeps its tasks, and lets them go on when it is resumed', async () => {
    const { waiting, approved } = await waitAndApprove(last, 'paused');
    const ended = await suspendAgent(store, { agentId: hop.agentId, by: administrator, reason: 'Looks odd.' });
    expect(ended).toEqual({ ok: true, value: { tasks: 0, delegations: 0, step_ups: 1, grants: 1 } });
    expect(await living()).toEqual(['root']);
    expect(await resumeAgent(store, { agentId: hop.agentId, by: administrator, reason: '' })).toEqual({
      ok: true,
      value: null,
    });
    expect(await living()).toHaveLength(5);
    expect(await stateOf(waiting)).toMatchObject({ state: 'withdrawn', reason: expect.stringContaining('suspended') });
    expect((await grantOf(approved)).revoked_at).not.toBeNull();
  });

  it('only an administrator resumes, and only for an active owner', async () => {
    const { agentId } = root;
    const owner = { kind: 'person', id: scene.requester.person.id } as const;
    expect(await suspendAgent(store, { agentId, by: owner, reason: '' })).toMatchObject({ ok: true });
    expect(await resumeAgent(store, { agentId, by: owner, reason: '' })).toMatchObject({
      refusal: { code: 'not_allowed' },
    });
    await store.db.updateTable('people').set({ state: 'disabled' }).where('id', '=', owner.id).execute();
    expect(await resumeAgent(store, { agentId, by: administrator, reason: '' })).toMatchObject({
      refusal: { code: 'person_inactive' },
    });
  });
});

describe('ending a task', () => {
  it('ends its sub-tasks and the hops within them', async () => {
    const { waiting } = await waitAndApprove(last, 'sub');
    const by = { agentId: root.agentId };
    const ended = await endTask(store, { taskId: root.taskId, how: 'completed', by });
    expect(ended).toMatchObject({
      value: { state: 'completed', ended: { tasks: 2, delegations: 2, step_ups: 1, grants: 1 } },
    });
    expect(await living()).toEqual(['own']);
    expect(await stateOf(waiting)).toMatchObject({ state: 'withdrawn' });
    expect(await about([root.taskId])('task.ended')).toEqual([
      { task: root.taskId, how: 'completed', by: root.agentId, by_kind: 'agent' },
    ]);
    expect(await about([sub.taskId])('task.ended')).toMatchObject([{ how: 'cancelled', with: root.taskId }]);
  });

  it('a sub-task ends alone', async () => {
    await endTask(store, { taskId: sub.taskId, how: 'completed', by: { agentId: sub.agentId } });
    expect(await living()).toEqual(['root', 'hop', 'own']);
  });

  it('one whose time is over is ended all the same', async () => {
    const past = new Date(Date.now() - 1000);
    await store.db.updateTable('tasks').set({ expires_at: past }).where('id', '=', own.taskId).execute();
    const ended = await endTask(store, { taskId: own.taskId, how: 'completed', by: { agentId: own.agentId } });
    expect(ended).toMatchObject({ value: { state: 'completed' } });
    expect(await about([own.taskId])('task.ended')).toHaveLength(1);
  });
});

describe('revoking a delegation', () => {
  it('ends what hangs on it and leaves what is above', async () => {
    const { delegationId } = hop;
    const ended = await revokeDelegation(store, { delegationId, by: administrator, reason: 'Enough.' });
    expect(ended).toMatchObject({ ok: true, value: { tasks: 1, delegations: 2 } });
    expect(await living()).toEqual(['root', 'own']);
    const revoked = await about([root.taskId])('delegation.revoked');
    expect(revoked).toEqual([
      { delegation: delegationId, task: root.taskId, agent: hop.agentId, by: administrator.id },
    ]);
    expect(await revokeDelegation(store, { delegationId, by: administrator, reason: '' })).toMatchObject({
      value: { tasks: 0, delegations: 0 },
    });
  });

  it('that began a task ends the task', async () => {
    await revokeDelegation(store, { delegationId: root.delegationId, by: administrator, reason: '' });
    expect(await living()).toEqual(['own']);
    expect(await about([root.taskId])('task.ended')).toMatchObject([{ how: 'cancelled' }]);
  });

  it('agents of its chain may, further up and itself; others are told that there is none', async () => {
    const { delegationId } = last;
    for (const by of [
      { kind: 'agent', id: await chains.addAgent() },
      { kind: 'person', id: (await scene.addPerson('Mallory', false)).person.id },
    ] as const) {
      expect(await revokeDelegation(store, { delegationId, by, reason: '' })).toMatchObject({
        refusal: { code: 'not_found' },
      });
    }
    expect(
      await revokeDelegation(store, {
        delegationId: hop.delegationId,
        by: { kind: 'agent', id: last.agentId },
        reason: '',
      }),
    ).toMatchObject({ refusal: { code: 'not_found' } });
    expect(await living()).toHaveLength(5);
    const by = { kind: 'agent', id: root.agentId } as const;
    expect(await revokeDelegation(store, { delegationId, by, reason: '' })).toMatchObject({ ok: true });
    expect(await living()).not.toContain('last');
  });
});

describe('revoking a grant', () => {
  it('leaves nothing to redeem, and the next call asks anew', async () => {
    await scene.startTask();
    const stepUp = await erase('grant');
    await scene.decide(stepUp, scene.administrator, 'approve', { shownSecondsAgo: 10 });
    const { id: grantId } = await grantOf(stepUp);
    const agent = { kind: 'agent', id: scene.claims.client_id } as const;
    expect(await revokeGrant(store, { grantId, by: agent, reason: '' })).toMatchObject({ ok: false });
    const by = { kind: 'person', id: scene.requester.person.id } as const;
    expect(await revokeGrant(store, { grantId, by, reason: 'Changed my mind.' })).toMatchObject({
      value: { grants: 1 },
    });
    expect(await scene.redeem('erase_disk', { disk: 'grant' })).toMatchObject({ refusal: { code: 'grant_missing' } });
    expect(await revokeGrant(store, { grantId, by, reason: '' })).toMatchObject({ value: { grants: 0 } });
    expect(await erase('grant')).not.toBe(stepUp);
  });

  it('that was used says so', async () => {
    await scene.startTask();
    const stepUp = await erase('used');
    await scene.decide(stepUp, scene.administrator, 'approve', { shownSecondsAgo: 10 });
    expect(await scene.redeem('erase_disk', { disk: 'used' })).toMatchObject({ ok: true });
    const { id: grantId } = await grantOf(stepUp);
    expect(await revokeGrant(store, { grantId, by: administrator, reason: '' })).toMatchObject({
      refusal: { code: 'conflict' },
    });
  });
});
