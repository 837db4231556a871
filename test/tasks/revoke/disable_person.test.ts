import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Acting } from '../../../src/model/acting.ts';
import type { SignedIn } from '../../../src/model/person.ts';
import { makeApiToken } from '../../../src/people/api_tokens.ts';
import type { Store } from '../../../src/store/store.ts';
import { disablePerson } from '../../../src/tasks/revoke/disable_person.ts';
import { enablePerson } from '../../../src/tasks/revoke/enable_person.ts';
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
let leaving: SignedIn;
let deputy: SignedIn;

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
  leaving = await scene.addPerson('Leaving', false);
  deputy = await scene.addPerson('Deputy', false);
});

const disable = (more: { isDeleted?: boolean } = {}) =>
  disablePerson(store, { personId: leaving.person.id, by: administrator, reason: 'Left.', ...more });
const agentOf = (id: string) =>
  store.db.selectFrom('agents').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
const stateOf = (id: string) =>
  store.db.selectFrom('step_ups').select(['state', 'reason']).where('id', '=', id).executeTakeFirstOrThrow();
const erase = { disk: 'sda' };

describe('agents that a person owns', () => {
  it('pass to the deputy who is active, and go on', async () => {
    const agentId = await chains.addAgent(leaving.person.id, deputy.person.id);
    const place = await chains.start(agentId);
    expect(await disable()).toMatchObject({ value: { agents_suspended: 0, agents_handed_over: 1, tasks: 0 } });
    expect(await agentOf(agentId)).toMatchObject({ state: 'active', owner_id: deputy.person.id, deputy_id: null });
    expect(await chains.isLive(place)).toBe(true);
    const told = (await scene.events('agent.transferred')).map(({ ids }) => ids as Record<string, string>);
    expect(told.filter((one) => one.agent === agentId)).toMatchObject([
      { owner: deputy.person.id, owner_before: leaving.person.id },
    ]);
    const past = await store.db.selectFrom('agent_ownerships').selectAll().where('agent_id', '=', agentId).execute();
    const before = past.find((one) => one.person_id === leaving.person.id);
    expect(before).toMatchObject({ role: 'owner', until: expect.any(Date) });
  });

  it.each(['none', 'a disabled one'])(
    'are suspended where the deputy is %s, and what hangs on them stops',
    async (which) => {
      const deputyId = which === 'none' ? null : deputy.person.id;
      const agentId = await chains.addAgent(leaving.person.id, deputyId);
      const place = await chains.start(agentId);
      const below = (await chains.hand(place, await chains.addAgent()))!;
      await chains.actAt(below);
      const waiting = await scene.ask('write_file', { path: which });
      await store.db.updateTable('people').set({ state: 'disabled' }).where('id', '=', deputy.person.id).execute();
      expect(await disable()).toMatchObject({ value: { agents_suspended: 1, agents_handed_over: 0, step_ups: 1 } });
      expect(await agentOf(agentId)).toMatchObject({ state: 'suspended' });
      expect(await chains.isLive(below)).toBe(false);
      expect(await stateOf(waiting)).toMatchObject({ state: 'withdrawn' });
    },
  );
});

describe('tasks that run for a person', () => {
  let place: Place;
  let sub: Place;

  beforeEach(async () => {
    const agentId = await chains.addAgent();
    place = await chains.start(agentId, leaving.person.id);
    sub = (await chains.begin((await chains.hand(place, await chains.addAgent()))!))!;
  });

  it('are cancelled, whoever owns their agents, with everything below', async () => {
    expect(await disable()).toMatchObject({ value: { tasks: 2, delegations: 1, agents_suspended: 0 } });
    expect(await chains.isLive(place)).toBe(false);
    const ended = (await scene.events('task.ended')).map(({ ids }) => ids as Record<string, string>);
    expect(ended.filter((one) => one.with === leaving.person.id).map((one) => one.task)).toEqual(
      expect.arrayContaining([place.taskId, sub.taskId]),
    );
  });

  it('stay cancelled when the person comes back', async () => {
    await disable();
    expect(await enablePerson(store, { personId: leaving.person.id, by: administrator, reason: '' })).toMatchObject({
      ok: true,
    });
    expect(await chains.isLive(place)).toBe(false);
    expect(await chains.isLive(sub)).toBe(false);
  });
});

describe('votes', () => {
  beforeEach(async () => {
    leaving = await scene.addPerson('Leaving', true);
  });
  const approve = (stepUp: string) => scene.decide(stepUp, leaving, 'approve', { shownSecondsAgo: 10 });

  it('that were not redeemed are void, also when the person comes back', async () => {
    const stepUp = await scene.ask('erase_disk', erase);
    await approve(stepUp);
    expect(await disable()).toMatchObject({ value: { grants: 1 } });
    const voided = (await scene.events('decision.voided')).map(({ ids }) => ids as Record<string, string>);
    expect(voided.filter((one) => one.step_up === stepUp)).toMatchObject([{ person: leaving.person.id }]);
    await enablePerson(store, { personId: leaving.person.id, by: administrator, reason: '' });
    expect(await scene.redeem('erase_disk', erase)).toMatchObject({ refusal: { code: 'grant_missing' } });
  });

  it('that were not enough yet never count again', async () => {
    const stepUp = await scene.ask('erase_disk', erase);
    await store.db
      .updateTable('step_ups')
      .set({ requirements: JSON.stringify(await withQuorum(stepUp, 2)) })
      .where('id', '=', stepUp)
      .execute();
    expect(await approve(stepUp)).toMatchObject({ value: { state: 'open' } });
    const third = await scene.addPerson('Third', true);
    await disable();
    await enablePerson(store, { personId: leaving.person.id, by: administrator, reason: '' });
    const decided = await scene.decide(stepUp, third, 'approve', { shownSecondsAgo: 10 });
    expect(decided).toMatchObject({ ok: true, value: { state: 'open' } });
  });

  it('that others outweigh leave the grant alive', async () => {
    const stepUp = await scene.ask('erase_disk', erase);
    await store.db
      .updateTable('step_ups')
      .set({ requirements: JSON.stringify(await withQuorum(stepUp, 2)) })
      .where('id', '=', stepUp)
      .execute();
    const third = await scene.addPerson('Third', true);
    await approve(stepUp);
    await scene.decide(stepUp, third, 'approve', { shownSecondsAgo: 10 });
    await store.db
      .updateTable('step_ups')
      .set({ requirements: JSON.stringify(await withQuorum(stepUp, 1)) })
      .where('id', '=', stepUp)
      .execute();
    expect(await disable()).toMatchObject({ value: { grants: 0 } });
  });

  async function withQuorum(stepUp: string, quorum: number) {
    const row = await store.db
      .selectFrom('step_ups')
      .select('requirements')
      .where('id', '=', stepUp)
      .executeTakeFirstOrThrow();
    const { gates, ...rest } = row.requirements as unknown as { gates: object[] };
    return { ...rest, gates: gates.map((gate) => ({ ...gate, quorum })) };
  }
});

it('a request that only this person could approve is withdrawn, others stay open', async () => {
  const stepUp = await scene.ask('erase_disk', erase);
  const row = await store.db
    .selectFrom('step_ups')
    .select('requirements')
    .where('id', '=', stepUp)
    .executeTakeFirstOrThrow();
  const { gates, ...rest } = row.requirements as unknown as { gates: object[] };
  const only = { ...rest, gates: gates.map((gate) => ({ ...gate, approvers: [`person:${leaving.person.id}`] })) };
  await store.db
    .updateTable('step_ups')
    .set({ requirements: JSON.stringify(only) })
    .where('id', '=', stepUp)
    .execute();
  const other = await scene.ask('erase_disk', { disk: 'sdb' });
  expect(await disable()).toMatchObject({ value: { step_ups: 1 } });
  expect(await stateOf(stepUp)).toEqual({ state: 'withdrawn', reason: 'Nobody is left who may approve this.' });
  expect(await stateOf(other)).toMatchObject({ state: 'open' });
});

it('API tokens that the person made stop working', async () => {
  leaving = await scene.addPerson('Leaving', true);
  const by: Acting = { kind: 'person', id: leaving.person.id };
  const made = await makeApiToken(store, { name: 'CI', scopes: ['tasks:read'], seconds: 3600, by });
  if (!made.ok) throw new Error(made.refusal.message);
  await disable();
  const token = await store.db
    .selectFrom('api_tokens')
    .select('revoked_at')
    .where('id', '=', made.value.id)
    .executeTakeFirstOrThrow();
  expect(token.revoked_at).not.toBeNull();
});

describe('who may, and what is left', () => {
  it('a second time is acknowledged; deleting a disabled person is more', async () => {
    const nothing = { tasks: 0, delegations: 0, step_ups: 0, grants: 0, agents_suspended: 0, agents_handed_over: 0 };
    await disable();
    expect(await disable()).toEqual({ ok: true, value: nothing });
    expect(await disable({ isDeleted: true })).toMatchObject({ ok: true });
    const deleted = (await scene.events('person.deleted')).map(({ ids }) => ids as Record<string, string>);
    expect(deleted.filter((one) => one.person === leaving.person.id)).toHaveLength(1);
    expect(await enablePerson(store, { personId: leaving.person.id, by: administrator, reason: '' })).toMatchObject({
      refusal: { code: 'conflict' },
    });
  });

  it('neither agents nor people who do not administer', async () => {
    for (const by of [
      { kind: 'person', id: deputy.person.id },
      { kind: 'agent', id: scene.claims.client_id },
    ] as const) {
      const refused = await disablePerson(store, { personId: leaving.person.id, by, reason: '' });
      expect(refused).toMatchObject({ refusal: { code: 'not_allowed' } });
    }
  });

  it('a client in the hands of the person goes on when they come back, other agents do not', async () => {
    const service = await chains.addAgent(leaving.person.id);
    const interactive = await chains.addAgent(leaving.person.id);
    await store.db
      .updateTable('agents')
      .set({ kind: 'interactive', person_id: leaving.person.id })
      .where('id', '=', interactive)
      .execute();
    await disable();
    await enablePerson(store, { personId: leaving.person.id, by: administrator, reason: '' });
    expect(await agentOf(interactive)).toMatchObject({ state: 'active' });
    expect(await agentOf(service)).toMatchObject({ state: 'suspended' });
  });

  it('nor does such a client that somebody suspended meanwhile', async () => {
    const agentId = await chains.addAgent(leaving.person.id);
    const { person } = leaving;
    await store.db
      .updateTable('agents')
      .set({ kind: 'interactive', person_id: person.id })
      .where('id', '=', agentId)
      .execute();
    await disable();
    expect(await suspendAgent(store, { agentId, by: administrator, reason: 'Its token leaked.' })).toMatchObject({
      ok: true,
    });
    await enablePerson(store, { personId: person.id, by: administrator, reason: '' });
    expect(await agentOf(agentId)).toMatchObject({ state: 'suspended', state_reason: 'Its token leaked.' });
  });
});
