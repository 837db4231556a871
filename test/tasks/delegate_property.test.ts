import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { canonicalJson } from '../../src/kernel/canonical_json.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { findLiveDelegation } from '../../src/provider/live_task.ts';
import type { ToolSelection } from '../../src/store/postgres/tables.ts';
import type { Store } from '../../src/store/store.ts';
import type { CallChain } from '../../src/tasks/principal.ts';
import { type BoundConstraint, unmetConstraint } from '../../src/wire/constraints.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import type { Peer } from '../support/hops.ts';
import { addPerson, addToolServer, type TestToolServer } from '../support/oauth_server.ts';
import { createTestStore } from '../support/test_store.ts';
import { Delegating } from './delegating.ts';

// Invariant 5: whatever agents ask for, in whatever order, nobody ever has more than the one the work came from.

const RUNS = 40;
const STEPS_MAX = 10;
const DEPTHS = [3, 1, 2, 0, 8];
const TOOLS = ['read_file', 'write_file'];

let database: TestDatabase;
let store: Store;
let delegating: Delegating;
let agents: Peer[];
let servers: TestToolServer[];
let requesterId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  delegating = await Delegating.create(store);
  agents = await delegating.addPeers(DEPTHS);
  servers = [await addToolServer(store), await addToolServer(store), await addToolServer(store)];
  requesterId = await addPerson(store, 'Requester');
  const bound = JSON.stringify({ [servers[0]!.id]: TOOLS, [servers[1]!.id]: ['read_file'] });
  await store.db.updateTable('agents').set({ bound }).where('id', '=', agents[2]!.id).execute();
});
afterAll(() => database.drop());

const names = fc.option(fc.subarray([...TOOLS, 'erase_disk'], { minLength: 1 }), { nil: undefined, freq: 2 });
const constraint = fc.record({
  tool: fc.constantFrom(...TOOLS),
  argument: fc.constant('/amount'),
  must: fc.oneof(
    fc.record({ be: fc.constant('at_most' as const), maximum: fc.nat(100).map(String) }),
    fc.record({ be: fc.constant('one_of' as const), values: fc.array(fc.nat(100), { minLength: 1, maxLength: 3 }) }),
    fc.constant({ be: 'absent' as const }),
  ),
});
const target = fc.record({
  server: fc.nat(2),
  tools: names,
  constraints: fc.option(fc.array(constraint, { maxLength: 2 }), { nil: undefined, freq: 2 }),
});
const step = fc.record({
  /** Of the delegations so far. */
  from: fc.nat(STEPS_MAX),
  taker: fc.nat(DEPTHS.length - 1),
  targets: fc.array(target, { minLength: 1, maxLength: 3 }),
  seconds: fc.option(fc.integer({ min: 30, max: 90_000 }), { nil: undefined }),
});
const held = fc
  .array(fc.subarray(TOOLS), { minLength: 3, maxLength: 3 })
  .filter((all) => all.some((one) => one.length > 0));

const selection = (perServer: readonly (readonly string[])[]): ToolSelection =>
  Object.fromEntries(perServer.flatMap((tools, index) => (tools.length === 0 ? [] : [[servers[index]!.id, tools]])));

const pairs = (tools: ToolSelection) =>
  Object.entries(tools).flatMap(([id, list]) => list.map((name) => `${id} ${name}`));

const texts = (constraints: readonly BoundConstraint[]) =>
  constraints.map((one) => canonicalJson(one as unknown as JsonObject));

async function secondsLeft(delegationId: string): Promise<number> {
  const live = await findLiveDelegation(store, delegationId);
  return live.ok ? live.value.secondsLeft : 0;
}

/** Every call that the delegation carries, the one it came from carries too. */
function expectNoWider(below: CallChain, above: CallChain): void {
  expect(pairs(above.task.tools)).toEqual(expect.arrayContaining(pairs(below.task.tools)));
  expect(texts(below.constraints)).toEqual(expect.arrayContaining(texts(above.constraints)));
  for (const [toolServerId, tools] of Object.entries(below.task.tools)) {
    for (const tool of tools) {
      for (const args of [{}, { amount: 1 }, { amount: 50 }, { amount: 100 }]) {
        const call = { toolServerId, tool, arguments: args };
        const isCarried = unmetConstraint(below.constraints, call) === undefined;
        if (isCarried) expect(unmetConstraint(above.constraints, call)).toBeUndefined();
      }
    }
  }
}

/** One agent more at the end, or the same; each once, none with more behind it than it allows. */
function expectNoDeeper(below: CallChain, above: CallChain): void {
  const { agent_ids: now } = below.lineage;
  const { agent_ids: before } = above.lineage;
  expect(now.slice(0, before.length)).toEqual(before);
  expect(now.length - before.length).toBeLessThanOrEqual(1);
  expect(new Set(now).size).toBe(now.length);
  for (const [index, id] of now.entries()) {
    const max = DEPTHS[agents.findIndex((one) => one.id === id)]!;
    expect(now.length - 1 - index).toBeLessThanOrEqual(max);
  }
  expect(below.principal.requester).toBe(above.principal.requester);
  expect(below.lineage.task_ids).toEqual(above.lineage.task_ids);
  expect(below.task.depth).toBe(now.length - 1);
}

test('no sequence of exchanges widens tools, constraints, life or depth', async () => {
  let made = 0;
  let refusedSteps = 0;
  await fc.assert(
    fc.asyncProperty(held, fc.array(step, { minLength: 1, maxLength: STEPS_MAX }), async (tools, steps) => {
      const places = [await delegating.start(agents[0]!, requesterId, selection(tools))];
      for (const { from, taker, targets, seconds } of steps) {
        const parent = places[from % places.length]!;
        const answer = await delegating.handOn({
          from: parent,
          takerId: agents[taker]!.id,
          resources: targets.map(({ server, ...asked }) => ({ ...asked, resource: servers[server]!.resource })),
          seconds,
        });
        if (!answer.ok) {
          refusedSteps += 1;
          continue;
        }
        made += 1;
        const [below, above] = [await delegating.chainAt(answer.value.delegationId), await delegating.chainAt(parent)];
        expectNoWider(below, above);
        expectNoDeeper(below, above);
        // A second may pass between the two readings.
        expect(await secondsLeft(answer.value.delegationId)).toBeLessThanOrEqual((await secondsLeft(parent)) + 1);
        if (seconds !== undefined) expect(await secondsLeft(answer.value.delegationId)).toBeLessThanOrEqual(seconds);
        places.push(answer.value.delegationId);
      }
    }),
    { numRuns: RUNS },
  );
  // Else the property would hold of nothing.
  expect(made).toBeGreaterThan(RUNS / 10);
  expect(refusedSteps).toBeGreaterThan(RUNS / 10);
});
