import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, it } from 'vitest';
import type { Acting } from '../../../src/model/acting.ts';
import type { Store } from '../../../src/store/store.ts';
import { endTask } from '../../../src/tasks/finish.ts';
import { offboardAgent } from '../../../src/tasks/revoke/offboard_agent.ts';
import { revokeDelegation } from '../../../src/tasks/revoke/revoke_delegation.ts';
import { suspendAgent } from '../../../src/tasks/revoke/suspend_agent.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { Scenario } from '../../support/scenario.ts';
import { createTestStore } from '../../support/test_store.ts';
import { Chains, type Place } from './chains.ts';

const AGENTS = 4;
const RUNS = 20;

let database: TestDatabase;
let store: Store;
let scene: Scenario;
let chains: Chains;
let by: Acting;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  store = createTestStore(database);
  scene = await Scenario.create(store);
  by = { kind: 'person', id: scene.administrator.person.id };
  chains = new Chains(store, scene);
});
afterEach(() => scene.freeNames());

/** What is done to the place, or the agent, of this number (modulo how many there are). */
interface Step {
  readonly kind: 'hand' | 'begin' | 'end' | 'revoke' | 'offboard' | 'suspend';
  readonly place: number;
  readonly agent: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constant('hand' as const) },
    { weight: 4, arbitrary: fc.constant('begin' as const) },
    {
      weight: 4,
      arbitrary: fc.constantFrom('end' as const, 'revoke' as const, 'offboard' as const, 'suspend' as const),
    },
  ),
  place: fc.nat(30),
  agent: fc.nat(AGENTS - 1),
});
/** Steps of one group are taken at once, groups one after the other. */
const story = fc.array(fc.array(step, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 6 });

interface World {
  readonly agents: readonly string[];
  readonly places: Place[];
  /** What was acknowledged as ended: ids of agents, tasks and delegations. */
  readonly ended: Set<string>;
}

async function take({ agents, places, ended }: World, { kind, place, agent }: Step): Promise<void> {
  const at = places[place % places.length]!;
  const agentId = agents[agent]!;
  if (kind === 'hand' || kind === 'begin') {
    const made = kind === 'hand' ? await chains.hand(at, agentId) : await chains.begin(at);
    if (made !== null) places.push(made);
    return;
  }
  const [id, done] = {
    end: () =>
      [at.taskId, endTask(store, { taskId: at.taskId, how: 'completed', by: { agentId: at.agentId } })] as const,
    revoke: () =>
      [at.delegationId, revokeDelegation(store, { delegationId: at.delegationId, by, reason: '' })] as const,
    offboard: () => [agentId, offboardAgent(store, { agentId, by, reason: '' })] as const,
    suspend: () => [agentId, suspendAgent(store, { agentId, by, reason: '' })] as const,
  }[kind]();
  if ((await done).ok) ended.add(id);
}

/** By the rows as they are, not by the chains that were kept in them: from parent to parent. */
async function check({ places, ended }: World): Promise<void> {
  const [delegations, tasks] = await Promise.all([
    store.db.selectFrom('delegations').selectAll().execute(),
    store.db.selectFrom('tasks').selectAll().execute(),
  ]);
  const byId = new Map(delegations.map((one) => [one.id, one]));
  const taskOf = new Map(tasks.map((one) => [one.id, one]));
  for (const place of places) {
    let isBelowEnded = false;
    for (let at = byId.get(place.delegationId); at !== undefined; at = byId.get(at.parent_id ?? '')) {
      const above = taskOf.get(at.task_id)!.parent_id;
      if ([at.id, at.task_id, at.agent_id, above ?? ''].some((id) => ended.has(id))) isBelowEnded = true;
    }
    const row = byId.get(place.delegationId)!;
    const isLive = await chains.isLive(place);
    if (isBelowEnded && isLive) throw new Error(`${row.id} is below something that was ended, and lives`);
    if (!isBelowEnded && !isLive) throw new Error(`${row.id} is below nothing that was ended, and is dead`);
  }
}

it('no order of revoking, handing on and beginning leaves a live descendant, or ends anything else', async () => {
  await fc.assert(
    fc.asyncProperty(story, async (groups) => {
      const agents = await Promise.all(Array.from({ length: AGENTS }, () => chains.addAgent()));
      const places = [await chains.start(agents[0]!), await chains.start(agents[1]!)];
      const world = { agents, places, ended: new Set<string>() };
      for (const group of groups) await Promise.all(group.map((one) => take(world, one)));
      await check(world);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
});
