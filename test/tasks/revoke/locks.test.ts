import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { lockLineage } from '../../../src/approvals/ancestors.ts';
import { loadLineage } from '../../../src/approvals/lineage.ts';
import { newId } from '../../../src/kernel/ids.ts';
import type { Acting } from '../../../src/model/acting.ts';
import type { Store, Tx } from '../../../src/store/store.ts';
import { endTask } from '../../../src/tasks/finish.ts';
import { disablePerson } from '../../../src/tasks/revoke/disable_person.ts';
import { offboardAgent } from '../../../src/tasks/revoke/offboard_agent.ts';
import { revokeDelegation } from '../../../src/tasks/revoke/revoke_delegation.ts';
import { suspendAgent } from '../../../src/tasks/revoke/suspend_agent.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { Scenario } from '../../support/scenario.ts';
import { createTestStore } from '../../support/test_store.ts';
import { Chains, type Place } from './chains.ts';

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
  store = createTestStore(database);
  scene = await Scenario.create(store);
  by = { kind: 'person', id: scene.administrator.person.id };
  chains = new Chains(store, scene);
  await makeChain();
});

/** The chain again and again, until the id of the sub-task sorts before that of the task above it. */
async function makeChain(): Promise<void> {
  const [first, second] = [await chains.addAgent(), await chains.addAgent()];
  do {
    root = await chains.start(first);
    hop = (await chains.hand(root, second))!;
    sub = (await chains.begin(hop))!;
  } while (sub.taskId > root.taskId);
}

async function untilWaiting(count = 1): Promise<void> {
  for (;;) {
    const { rows } = await sql<{ n: number }>`select count(*)::int as n from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`.execute(database.db);
    if (rows[0]!.n >= count) return;
    await sleep(20);
  }
}

const REVOCATIONS: Record<string, () => Promise<unknown>> = {
  'the first agent is offboarded': () => offboardAgent(store, { agentId: root.agentId, by, reason: '' }),
  'the last agent is offboarded': () => offboardAgent(store, { agentId: sub.agentId, by, reason: '' }),
  'an agent is suspended': () => suspendAgent(store, { agentId: hop.agentId, by, reason: '' }),
  'the requester is disabled': () => disablePerson(store, { personId: scene.requester.person.id, by, reason: '' }),
  'the task ends': () => endTask(store, { taskId: root.taskId, how: 'cancelled', by: { agentId: root.agentId } }),
  'the sub-task ends': () => endTask(store, { taskId: sub.taskId, how: 'cancelled', by: { agentId: sub.agentId } }),
  'the delegation is revoked': () => revokeDelegation(store, { delegationId: hop.delegationId, by, reason: '' }),
};

/** As an exchange and a registration write it, with the locks that the caller took. */
async function addBelow(tx: Tx, stepUpId: string): Promise<{ delegationId: string; stepUpId: string }> {
  const delegationId = newId('dlg');
  const added = newId('stp');
  await sql`insert into delegations (id, task_id, parent_id, agent_id, depth, kind, agent_chain, task_chain, delegation_chain)
    select ${delegationId}, task_id, id, agent_id, depth + 1, 'exchange', agent_chain, task_chain,
      delegation_chain || ${delegationId}::text
    from delegations where id = ${sub.delegationId}`.execute(tx);
  const { rows } = await sql<{ name: string }>`select column_name as name from information_schema.columns
    where table_name = 'step_ups' and table_schema = current_schema() order by ordinal_position`.execute(tx);
  const own: Record<string, ReturnType<typeof sql>> = {
    id: sql`${added}`,
    txn: sql`${newId('txn')}`,
    binding_digest: sql`${added}`,
    delegation_id: sql`${delegationId}`,
  };
  const names = rows.map(({ name }) => sql.ref(name));
  const values = rows.map(({ name }) => own[name] ?? sql.ref(name));
  await sql`insert into step_ups (${sql.join(names)}) select ${sql.join(values)} from step_ups
    where id = ${stepUpId}`.execute(tx);
  return { delegationId, stepUpId: added };
}

describe('what is made below, and commits while a revocation waits for it, ends with it', () => {
  it.each(Object.keys(REVOCATIONS))('%s', async (name) => {
    await chains.actAt(sub);
    const stepUp = await scene.ask('write_file', { path: 'minted' });
    let revoking: Promise<unknown> | undefined;
    const added = await database.db.transaction().execute(async (tx) => {
      const lineage = (await loadLineage(tx, sub.delegationId))!;
      expect(await lockLineage(tx, lineage)).toMatchObject({ ok: true });
      revoking = REVOCATIONS[name]!();
      await untilWaiting();
      return addBelow(tx, stepUp);
    });
    expect(await revoking).toMatchObject({ ok: true });
    expect(await chains.isLive({ ...sub, delegationId: added.delegationId })).toBe(false);
    const states = await store.db
      .selectFrom('step_ups')
      .select('state')
      .where('id', 'in', [stepUp, added.stepUpId])
      .execute();
    expect(states).toEqual([{ state: 'withdrawn' }, { state: 'withdrawn' }]);
  });
});

describe('who waits for what is above holds nothing below', () => {
  const WORK: Record<string, () => Promise<unknown>> = {
    'who redeems': () => scene.redeem('write_file', { path: 'approved' }),
    'who asks for approval': () => scene.evaluate('write_file', { path: 'another' }),
    'who decides': async () => scene.decide(await waiting, scene.requester, 'approve'),
    'who hands on': () => chains.hand(sub, hop.agentId),
    'who begins a sub-task': () => chains.begin(sub),
  };
  let waiting: Promise<string>;

  it.each(Object.keys(WORK))('%s', async (name) => {
    await chains.actAt(sub);
    waiting = scene.ask('write_file', { path: 'waiting' });
    await waiting;
    await scene.decide(await scene.ask('write_file', { path: 'approved' }), scene.requester, 'approve');
    expect(sub.taskId < root.taskId).toBe(true);
    let working: Promise<unknown> | undefined;
    await database.db.transaction().execute(async (tx) => {
      await tx.selectFrom('tasks').select('id').where('id', '=', root.taskId).forUpdate().execute();
      working = WORK[name]!();
      await untilWaiting();
      const below = tx.selectFrom('tasks').select('id').where('id', '=', sub.taskId).forUpdate().noWait();
      expect(await below.execute()).toHaveLength(1);
    });
    await working;
  });
});
