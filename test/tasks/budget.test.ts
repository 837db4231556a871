import type { KyselyPlugin } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { newId } from '../../src/kernel/ids.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { amountOf, type BudgetLine } from '../../src/model/budget.ts';
import { readBudget } from '../../src/tasks/budget.ts';
import { startSubTask } from '../../src/tasks/sub_task.ts';
import type { EvaluateAnswer } from '../../src/wire/guard_api.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

// What a task may use up is counted in one statement with what uses it, in its own budget and in those above it.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

const AT_ONCE = 50;
const rules = { stepUpsPerAgentPerMinute: 1_000, openStepUpsPerAgent: 1_000 };

let database: TestDatabase;
let scenario: Scenario;
let statements = 0;

const countStatements: KyselyPlugin = {
  transformQuery({ node }) {
    statements += 1;
    return node;
  },
  transformResult: async ({ result }) => result,
};

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await scenario?.freeNames();
  scenario = await Scenario.create(createTestStore({ db: database.db.withPlugin(countStatements) }, { rules }));
});

const amount = (tool: string, argument: string, maximum: string): BudgetLine => ({
  what: amountOf({ toolServerId: scenario.server.id, tool, argument }),
  maximum,
});
const start = (budget: readonly BudgetLine[]) => scenario.startTask(undefined, undefined, budget);
const used = async (taskId: string) =>
  Object.fromEntries((await readBudget(scenario.store.db, taskId)).map((line) => [line.what, Number(line.used)]));
const taskId = () => scenario.claims.task.id;
const ofTask = async (kind: string) => (await scenario.events(kind)).filter((event) => idsOf(event).task === taskId());
const idsOf = (event: JsonObject) => event.ids as JsonObject;

const many = <Value>(count: number, make: (index: number) => Promise<Value>) =>
  Promise.all(Array.from({ length: count }, (_, index) => make(index)));
const kinds = (answers: readonly EvaluateAnswer[]) => {
  const found: Record<string, number> = {};
  for (const answer of answers) {
    const kind = answer.decision === 'deny' ? answer.refusal.error : answer.decision;
    found[kind] = (found[kind] ?? 0) + 1;
  }
  return found;
};

/** A task below the one of the scenario; its token is the scenario's from now on. */
async function below(budget: readonly BudgetLine[], tools = ['read_file', 'write_file']): Promise<string> {
  const started = await startSubTask(scenario.store, {
    agentId: scenario.claims.act!.sub,
    parentTaskId: taskId(),
    purpose: 'A part of it',
    tools: { [scenario.server.id]: tools },
    budget,
  });
  if (!started.ok) throw new Error(started.refusal.message);
  scenario.claims = { ...scenario.claims, task: { ...scenario.claims.task, id: started.value.taskId } };
  return started.value.taskId;
}

async function approved(content: string): Promise<JsonObject> {
  const args = { path: newId('att'), content };
  const stepUp = await scenario.ask('write_file', args);
  expect(await scenario.decide(stepUp, scenario.requester, 'approve')).toMatchObject({ ok: true });
  return args;
}

describe('calls', () => {
  test(`${AT_ONCE} at once get as many as there are, each recorded, and the others are told why`, async () => {
    await start([{ what: 'calls', maximum: '3' }]);
    const answers = await many(AT_ONCE, (index) => scenario.evaluate('read_file', { path: `${index}` }));
    expect(kinds(answers)).toEqual({ permit: 3, budget_used_up: AT_ONCE - 3 });
    expect(await used(taskId())).toEqual({ calls: 3 });
    expect(await ofTask('call.permitted')).toHaveLength(3);
    const refusedOnes = await ofTask('task.budget_used_up');
    expect(refusedOnes).toHaveLength(AT_ONCE - 3);
    expect(idsOf(refusedOnes[0]!)).toMatchObject({ budget: 'calls', name: 'read_file' });
    expect(answers.find((answer) => answer.decision === 'deny')).toMatchObject({
      refusal: { error_description: expect.stringContaining('calls'), detail: { budget: 'calls' } },
    });
  });

  test('of a sub-task count in every task above it, and each budget holds', async () => {
    const root = await start([{ what: 'calls', maximum: '7' }]);
    const rootClaims = scenario.claims;
    const middle = await below([{ what: 'calls', maximum: '4' }]);
    const leaf = await below([]);
    const call = (claims: typeof rootClaims) => {
      scenario.claims = claims;
      return scenario.evaluate('read_file', { path: 'x' });
    };
    const leafClaims = scenario.claims;
    const answers = await many(AT_ONCE, (index) => call(index % 2 === 0 ? leafClaims : rootClaims));
    expect(kinds(answers).permit).toBe(7);
    const counted = await used(middle);
    expect(counted.calls).toBeLessThanOrEqual(4);
    expect(await used(root)).toEqual({ calls: 7 });
    expect(await used(leaf)).toEqual({});
  });

  test(`${AT_ONCE} permitted and approved ones at once together get as many as there are`, async () => {
    await start([{ what: 'calls', maximum: '6' }]);
    const grants: JsonObject[] = [];
    for (let index = 0; index < 15; index += 1) grants.push(await approved('x'));
    const [redeemed, permitted] = await Promise.all([
      Promise.all(grants.map((args) => scenario.redeem('write_file', args))),
      many(AT_ONCE - grants.length, (index) => scenario.evaluate('read_file', { path: `${index}` })),
    ]);
    const uses = redeemed.filter((answer) => answer.ok).length;
    const refusals = redeemed.flatMap((answer) => (answer.ok ? [] : [answer.refusal.code]));
    expect(uses + (kinds(permitted).permit ?? 0)).toBe(6);
    expect(new Set(refusals)).toEqual(new Set(uses === 15 ? [] : ['budget_used_up']));
    expect(await used(taskId())).toEqual({ calls: 6 });
    const rows = await grantsOfTask();
    expect(rows.reduce((sum, grant) => sum + grant.uses, 0)).toBe(uses);
    expect(await redemptionsOfTask()).toBe(uses);
  });

  test('an approved one that finds the budget used up leaves its grant unused, and its attempt may not run', async () => {
    await start([{ what: 'calls', maximum: '1' }]);
    const args = await approved('x');
    expect(await scenario.evaluate('read_file', { path: 'a' })).toMatchObject({ decision: 'permit' });
    const attempt = newId('att');
    for (let round = 0; round < 2; round += 1) {
      const answer = await scenario.redeem('write_file', args, attempt);
      expect(answer).toMatchObject({ ok: false, refusal: { code: 'budget_used_up', detail: { budget: 'calls' } } });
    }
    expect((await grantsOfTask())[0]).toMatchObject({ uses: 0, revoked_at: null });
    expect(await redemptionsOfTask()).toBe(0);
  });

  test('one attempt that asks 20 times is counted once', async () => {
    await start([{ what: 'calls', maximum: '10' }]);
    const args = await approved('x');
    const attempt = newId('att');
    const answers = await many(20, () => scenario.redeem('write_file', args, attempt));
    expect(answers.filter((answer) => answer.ok && !answer.value.repeated)).toHaveLength(1);
    expect(answers.every((answer) => answer.ok)).toBe(true);
    expect(await used(taskId())).toEqual({ calls: 1 });
  });

  test('the last use of a budget is acknowledged to its own attempt when it asks again', async () => {
    await start([{ what: 'calls', maximum: '1' }]);
    const args = await approved('x');
    await scenario.store.db.updateTable('grants').set({ max_uses: 5 }).execute();
    const attempt = newId('att');
    expect(await scenario.redeem('write_file', args, attempt)).toMatchObject({ ok: true, value: { repeated: false } });
    expect(await scenario.redeem('write_file', args, attempt)).toMatchObject({ ok: true, value: { repeated: true } });
    expect(await scenario.redeem('write_file', args)).toMatchObject({ refusal: { code: 'budget_used_up' } });
    expect(await used(taskId())).toEqual({ calls: 1 });
  });

  test('a redemption that is refused for another reason is not counted', async () => {
    await start([{ what: 'calls', maximum: '5' }]);
    const args = await approved('x');
    await scenario.store.db
      .updateTable('grants')
      .set({ expires_at: new Date(0) })
      .execute();
    expect(await scenario.redeem('write_file', args)).toMatchObject({ refusal: { code: 'grant_expired' } });
    expect(await used(taskId())).toEqual({ calls: 0 });
  });
});

describe('amounts', () => {
  test(`${AT_ONCE} at once never add up to more, as exact decimals`, async () => {
    await start([amount('read_file', '/path', '10.00')]);
    const answers = await many(AT_ONCE, () => scenario.evaluate('read_file', { path: '0.75' }));
    expect(kinds(answers)).toEqual({ permit: 13, budget_used_up: AT_ONCE - 13 });
    expect(Object.values(await used(taskId()))).toEqual([9.75]);
    expect(kinds([await scenario.evaluate('read_file', { path: '0.25' })])).toEqual({ permit: 1 });
  });

  test('three times 0.1 is 0.3', async () => {
    await start([amount('read_file', '/path', '0.3')]);
    const answers = await many(4, () => scenario.evaluate('read_file', { path: '0.1' }));
    expect(kinds(answers)).toEqual({ permit: 3, budget_used_up: 1 });
  });

  test('are counted when an approved call is redeemed, not when it is asked for', async () => {
    const budget = amount('write_file', '/content', '100');
    await start([budget]);
    const args = await approved('60.5');
    const other = await approved('60.5');
    expect(await used(taskId())).toEqual({ [budget.what]: 0 });
    expect(await scenario.redeem('write_file', args)).toMatchObject({ ok: true });
    expect(await scenario.redeem('write_file', other)).toMatchObject({ refusal: { code: 'budget_used_up' } });
    expect(await used(taskId())).toEqual({ [budget.what]: 60.5 });
  });

  test.each([
    ['left out', undefined],
    ['negative', '-1'],
    ['with an exponent', '1e2'],
    ['text', 'a lot'],
    ['more digits than are counted', '0.1234567890123'],
  ])('%s is not an amount, and such a call does not run', async (_name, value) => {
    await start([amount('read_file', '/path', '10'), amount('write_file', '/content', '10')]);
    const path = value === undefined ? {} : { path: value as string };
    expect(kinds([await scenario.evaluate('read_file', path)])).toEqual({ request_invalid: 1 });
    const content = value === undefined ? {} : { content: value as string };
    expect(kinds([await scenario.evaluate('write_file', { path: 'a', ...content })])).toEqual({ request_invalid: 1 });
    expect(Object.values(await used(taskId()))).toEqual([0, 0]);
  });

  test('of one tool are not those of another', async () => {
    await start([amount('write_file', '/content', '0')]);
    expect(await scenario.evaluate('read_file', { path: '5' })).toMatchObject({ decision: 'permit' });
  });
});

describe('requests for approval', () => {
  test('at once are as many as there are; the others are refused, and leave nothing behind', async () => {
    await start([{ what: 'step_ups', maximum: '2' }]);
    const answers = await many(12, (index) => scenario.evaluate('write_file', { path: `${index}`, content: 'x' }));
    expect(kinds(answers)).toEqual({ step_up: 2, budget_used_up: 10 });
    expect(await used(taskId())).toEqual({ step_ups: 2 });
    const stepUps = scenario.store.db.selectFrom('step_ups').select('id').where('task_id', '=', taskId());
    expect(await stepUps.execute()).toHaveLength(2);
  });

  test('that is asked again is one, and is counted once', async () => {
    await start([{ what: 'step_ups', maximum: '1' }]);
    const args = { path: 'a', content: 'x' };
    const answers = await many(12, () => scenario.evaluate('write_file', args));
    expect(kinds(answers)).toEqual({ step_up: 12 });
    expect(await used(taskId())).toEqual({ step_ups: 1 });
  });

  test('are not made for what could not run afterwards', async () => {
    await start([amount('write_file', '/content', '100'), { what: 'step_ups', maximum: '5' }]);
    const answer = await scenario.evaluate('write_file', { path: 'a', content: '100.01' });
    expect(kinds([answer])).toEqual({ budget_used_up: 1 });
    expect(await ofTask('step_up.registered')).toHaveLength(0);
    expect((await used(taskId())).step_ups).toBe(0);
    expect((await ofTask('task.budget_used_up')).length).toBe(1);
  });
});

describe('elevated grants', () => {
  test('approved at once are as many as there are; the others are withdrawn, and nobody is asked again', async () => {
    await start([{ what: 'elevated_grants', maximum: '2' }]);
    const stepUps: string[] = [];
    for (const path of ['a', 'b', 'c', 'd', 'e'])
      stepUps.push(await scenario.ask('write_file', { path, content: 'x' }));
    const decided = await Promise.all(stepUps.map((id) => scenario.decide(id, scenario.requester, 'approve')));
    const states = decided.map((one) => (one.ok ? one.value.state : one.refusal.code)).sort();
    expect(states).toEqual(['approved', 'approved', 'withdrawn', 'withdrawn', 'withdrawn']);
    expect(await grantsOfTask()).toHaveLength(2);
    expect(await used(taskId())).toEqual({ elevated_grants: 2 });
    const answer = await scenario.evaluate('write_file', { path: 'f', content: 'x' });
    expect(kinds([answer])).toEqual({ budget_used_up: 1 });
    const withdrawn = await scenario.store.db
      .selectFrom('step_ups')
      .select('reason')
      .where('task_id', '=', taskId())
      .where('state', '=', 'withdrawn')
      .execute();
    expect(withdrawn.map((row) => row.reason)).toEqual(Array(3).fill(expect.stringContaining('approved calls')));
  });
});

test('a task without a budget has no statement more, and one with a budget has none more either', async () => {
  const run = async () => {
    const args = await approved('1');
    await scenario.evaluate('read_file', { path: '1' });
    statements = 0;
    await scenario.evaluate('read_file', { path: '1' });
    const evaluated = statements;
    statements = 0;
    expect(await scenario.redeem('write_file', args)).toMatchObject({ ok: true });
    return { evaluated, redeemed: statements };
  };
  const without = await run();
  await start([
    { what: 'calls', maximum: '9' },
    amount('read_file', '/path', '9'),
    amount('write_file', '/content', '9'),
  ]);
  expect(await run()).toEqual(without);
  expect(without.evaluated).toBe(2);
  expect(Object.values(await used(taskId()))).toEqual([2, 1, 3]);
});

test('a budget that is overspent by a bug is an error of the database', async () => {
  const id = await start([{ what: 'calls', maximum: '3' }]);
  const overspend = scenario.store.db.updateTable('task_budgets').set({ used: '4' }).where('task_id', '=', id);
  await expect(overspend.execute()).rejects.toThrow(/never_overspent/);
});

function grantsOfTask() {
  return scenario.store.db
    .selectFrom('grants')
    .innerJoin('step_ups', 'step_ups.id', 'grants.step_up_id')
    .select(['grants.uses', 'grants.revoked_at'])
    .where('step_ups.task_id', '=', taskId())
    .execute();
}

async function redemptionsOfTask(): Promise<number> {
  const rows = await scenario.store.db
    .selectFrom('redemptions')
    .innerJoin('step_ups', 'step_ups.id', 'redemptions.step_up_id')
    .select('redemptions.id')
    .where('step_ups.task_id', '=', taskId())
    .execute();
  return rows.length;
}
