import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { newId } from '../../src/kernel/ids.ts';
import { findLiveTaskById } from '../../src/provider/live_task.ts';
import type { ToolSelection } from '../../src/store/postgres/tables.ts';
import { endTask } from '../../src/tasks/finish.ts';
import { TASK_CHAIN_MAX } from '../../src/tasks/limits.ts';
import { type StartSubTask, startSubTask } from '../../src/tasks/sub_task.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

// Invariant 5: a sub-task only narrows, and nothing above it ends without it.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let database: TestDatabase;
let scenario: Scenario;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await scenario?.freeNames();
  scenario = await Scenario.create(createTestStore(database));
});

const taskId = () => scenario.claims.task.id;
const agentId = () => scenario.claims.act!.sub;
const tools = (...names: string[]): ToolSelection => ({ [scenario.server.id]: names });
const begin = (changes: Partial<StartSubTask> = {}) =>
  startSubTask(scenario.store, {
    agentId: agentId(),
    parentTaskId: taskId(),
    purpose: 'A part of it',
    tools: tools('read_file'),
    budget: [],
    ...changes,
  });
async function begun(changes: Partial<StartSubTask> = {}) {
  const started = await begin(changes);
  if (!started.ok) throw new Error(started.refusal.message);
  return started.value;
}
const rowOf = (id: string) =>
  scenario.store.db.selectFrom('tasks').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
const rootOf = (id: string) =>
  scenario.store.db
    .selectFrom('delegations')
    .selectAll()
    .where('task_id', '=', id)
    .where('kind', '=', 'root')
    .executeTakeFirstOrThrow();
const actIn = (id: string) => {
  scenario.claims = { ...scenario.claims, task: { ...scenario.claims.task, id } };
};
const children = async () =>
  scenario.store.db.selectFrom('tasks').select(['id', 'state']).where('parent_id', '=', taskId()).execute();

describe('a sub-task', () => {
  test('has a part of its parent’s tools and time, for the same requester, and names its whole descent', async () => {
    const parent = await rowOf(taskId());
    const parentHop = await rootOf(taskId());
    const started = await begun({ seconds: 120, traceparent: '00-aa-bb-01' });
    const row = await rowOf(started.taskId);
    expect(row).toMatchObject({
      root_id: parent.id,
      parent_id: parent.id,
      requester_id: parent.requester_id,
      agent_id: parent.agent_id,
      tools: tools('read_file'),
      origin: 'sub_task',
      traceparent: '00-aa-bb-01',
    });
    expect(await rootOf(started.taskId)).toMatchObject({
      parent_id: parentHop.id,
      depth: 0,
      agent_chain: [parent.agent_id],
      task_chain: [parent.id, row.id],
      delegation_chain: [parentHop.id, started.delegationId],
    });
    expect(row.expires_at.getTime() - row.created_at.getTime()).toBeCloseTo(120_000, -3);
    const [event] = (await scenario.events('task.started')).slice(-1);
    expect(event!.ids).toMatchObject({ task: row.id, parent: parent.id, root: parent.id, origin: 'sub_task' });
    actIn(row.id);
    expect(await scenario.evaluate('read_file', { path: 'a' })).toMatchObject({ decision: 'permit' });
    expect(await scenario.evaluate('write_file', { path: 'a', content: 'b' })).toMatchObject({
      refusal: { error: 'tool_not_in_task' },
    });
  });

  test('ends with its parent if it names no time, and its tokens no later', async () => {
    const { expires_at: end } = await rowOf(taskId());
    const { taskId: id } = await begun();
    expect((await rowOf(id)).expires_at).toEqual(end);
    const live = await findLiveTaskById(scenario.store, id);
    expect(live.ok && live.value.secondsLeft * 1_000).toBeLessThanOrEqual(end.getTime() - Date.now() + 2_000);
  });

  test('starts once under an idempotency key', async () => {
    const [first, second] = await Promise.all([begin({ idempotencyKey: 'a' }), begin({ idempotencyKey: 'a' })]);
    expect(first).toEqual(second);
    expect(await children()).toHaveLength(1);
    expect(await begin({ idempotencyKey: 'a', purpose: 'Another' })).toMatchObject({
      refusal: { code: 'idempotency_key_reused' },
    });
  });
});

describe('is refused', () => {
  const refused = async (code: string, changes: Partial<StartSubTask> = {}) => {
    const before = await children();
    expect(await begin(changes)).toMatchObject({ ok: false, refusal: { code } });
    expect(await children()).toEqual(before);
  };

  test('a tool that the parent does not have, or its agent may not be given any more', async () => {
    const started = await begun();
    actIn(started.taskId);
    await refused('outside_delegation', { tools: tools('write_file') });
    await refused('outside_delegation', { tools: { ...tools('read_file'), [newId('tsv')]: ['read_file'] } });
    await scenario.store.db
      .updateTable('agents')
      .set({ bound: JSON.stringify(tools('write_file')) })
      .where('id', '=', agentId())
      .execute();
    await refused('outside_delegation');
  });

  test('no tool, no purpose', async () => {
    await refused('request_invalid', { tools: {} });
    await refused('request_invalid', { tools: tools() });
    await refused('request_invalid', { purpose: ' ' });
  });

  test('more time than the parent has', async () => {
    await refused('outside_delegation', { seconds: 3_601 });
    await scenario.startTask(undefined, 60);
    await refused('outside_delegation', { seconds: 61 });
    await scenario.store.db
      .updateTable('agents')
      .set({ ends_at: sql<Date>`clock_timestamp() + interval '30 seconds'` })
      .where('id', '=', agentId())
      .execute();
    await refused('outside_delegation', { seconds: 40 });
    const { expires_at: end } = await rowOf((await begun()).taskId);
    expect(end.getTime()).toBeLessThan(Date.now() + 40_000);
  });

  test('more of a budget than is left, in any task above', async () => {
    await scenario.startTask(undefined, undefined, [{ what: 'calls', maximum: '5' }]);
    await refused('outside_delegation', { budget: [{ what: 'calls', maximum: '6' }] });
    const middle = await begun({ budget: [{ what: 'step_ups', maximum: '2' }] });
    expect(await scenario.evaluate('read_file', { path: 'a' })).toMatchObject({ decision: 'permit' });
    actIn(middle.taskId);
    await refused('outside_delegation', { budget: [{ what: 'calls', maximum: '5' }] });
    await refused('outside_delegation', { budget: [{ what: 'step_ups', maximum: '3' }] });
    await begun({
      budget: [
        { what: 'calls', maximum: '4' },
        { what: 'step_ups', maximum: '2' },
      ],
    });
  });

  test('another agent, an unknown task, and a hop of somebody else, all in the same words', async () => {
    const foreign = await begin({ agentId: newId('agt') });
    expect(foreign).toMatchObject({ refusal: { code: 'not_found' } });
    expect(await begin({ parentTaskId: newId('tsk') })).toEqual(foreign);
    expect(await begin({ delegationId: newId('dlg') })).toEqual(foreign);
  });

  test.each([
    ['task_ended', () => `update tasks set state = 'cancelled' where id = '${taskId()}'`],
    ['task_ended', () => `update tasks set expires_at = clock_timestamp() where id = '${taskId()}'`],
    ['task_ended', () => `update delegations set revoked_at = clock_timestamp() where task_id = '${taskId()}'`],
    ['agent_inactive', () => `update agents set state = 'suspended' where id = '${agentId()}'`],
    ['agent_inactive', () => `update agents set ends_at = clock_timestamp() where id = '${agentId()}'`],
    ['person_inactive', () => `update people set state = 'disabled' where id = '${scenario.requester.person.id}'`],
  ])('%s: anything above has ended', async (code, end) => {
    await sql.raw(end()).execute(database.db);
    await refused(code);
  });

  test(`a line of more than ${TASK_CHAIN_MAX} tasks`, async () => {
    for (let depth = 1; depth < TASK_CHAIN_MAX; depth += 1) actIn((await begun()).taskId);
    await refused('outside_delegation');
  });
});

test('below a hop it has what the hop has: its tools, constraints, end and key', async () => {
  const root = await rootOf(taskId());
  const rootTask = await rowOf(taskId());
  const rootAgent = agentId();
  await scenario.startTask();
  const peer = agentId();
  actIn(rootTask.id);
  const hop = newId('dlg');
  const constraints = [
    {
      tool_server_id: scenario.server.id,
      tool: 'read_file',
      argument: '/path',
      must: { be: 'one_of' as const, values: ['a'] },
    },
  ];
  await scenario.store.db
    .insertInto('delegations')
    .values({
      id: hop,
      task_id: rootTask.id,
      parent_id: root.id,
      agent_id: peer,
      depth: 1,
      kind: 'exchange',
      agent_chain: [rootAgent, peer],
      task_chain: [rootTask.id],
      delegation_chain: [root.id, hop],
      tools: JSON.stringify(tools('read_file')),
      constraints: JSON.stringify(constraints),
      expires_at: new Date(Date.now() + 600_000),
      confirmation_jkt: 'a'.repeat(43),
      revoked_at: null,
    })
    .execute();
  expect(await begin({ agentId: peer })).toMatchObject({ refusal: { code: 'not_found' } });
  const below = { agentId: peer, delegationId: hop };
  expect(await begin({ ...below, tools: tools('write_file') })).toMatchObject({
    refusal: { code: 'outside_delegation' },
  });
  expect(await begin({ ...below, seconds: 700 })).toMatchObject({ refusal: { code: 'outside_delegation' } });
  const started = await begun(below);
  expect(await rootOf(started.taskId)).toMatchObject({
    agent_chain: [rootAgent, peer],
    delegation_chain: [root.id, hop, started.delegationId],
    depth: 1,
    constraints,
    confirmation_jkt: 'a'.repeat(43),
  });
  expect((await rowOf(started.taskId)).expires_at.getTime()).toBeLessThanOrEqual(Date.now() + 600_000);
  scenario.claims = {
    ...scenario.claims,
    client_id: peer,
    task: { id: started.taskId, root: rootTask.id },
    act: { sub: peer, act: { sub: rootAgent } },
  };
  expect(await scenario.evaluate('read_file', { path: 'a' })).toMatchObject({ decision: 'permit' });
  expect(await scenario.evaluate('read_file', { path: 'b' })).toMatchObject({
    refusal: { error: 'outside_delegation' },
  });
});

test('20 that start while the parent ends: none is alive afterwards', async () => {
  const parent = taskId();
  const by = { personId: scenario.requester.person.id };
  const [answers, ended] = await Promise.all([
    Promise.all(Array.from({ length: 20 }, () => begin())),
    endTask(scenario.store, { taskId: parent, how: 'cancelled', by }),
  ]);
  expect(ended.ok).toBe(true);
  for (const answer of answers) if (!answer.ok) expect(answer.refusal.code).toBe('task_ended');
  const started = answers.flatMap((answer) => (answer.ok ? [answer.value.taskId] : []));
  for (const id of started) {
    expect((await rowOf(id)).state).toBe('cancelled');
    expect(await findLiveTaskById(scenario.store, id)).toMatchObject({ refusal: { code: 'task_ended' } });
  }
  expect((await children()).filter(({ state }) => state === 'active')).toEqual([]);
});

test('no sequence of sub-tasks ever widens anything', async () => {
  const ALL = ['read_file', 'write_file', 'erase_disk'];
  const wish = fc.record({
    parent: fc.nat(20),
    names: fc.subarray(ALL, { minLength: 1 }),
    seconds: fc.option(fc.integer({ min: 1, max: 5_000 }), { nil: undefined }),
    calls: fc.option(fc.nat(12), { nil: undefined }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(wish, { minLength: 4, maxLength: 10 }), async (wishes) => {
      const root = await scenario.startTask(ALL, 3_600, [{ what: 'calls', maximum: '10' }]);
      const alive = [root];
      for (const { parent, names, seconds, calls } of wishes) {
        const started = await begin({
          parentTaskId: alive[parent % alive.length]!,
          tools: tools(...names),
          budget: calls === undefined ? [] : [{ what: 'calls', maximum: String(calls) }],
          ...(seconds === undefined ? {} : { seconds }),
        });
        if (started.ok) alive.push(started.value.taskId);
      }
      const { rows } = await sql<{ wider: number }>`select count(*)::int as wider from tasks t
        join tasks p on p.id = t.parent_id
        left join task_budgets b on b.task_id = t.id
        join delegations d on d.task_id = t.id join delegations e on e.task_id = p.id
        where t.root_id = ${root} and (
          t.expires_at > p.expires_at
          or exists (select 1 from jsonb_array_elements_text(t.tools -> ${scenario.server.id}) as name
            where not (p.tools -> ${scenario.server.id}) ? name)
          or b.maximum > (select min(x.maximum) from task_budgets x
            where x.what = b.what and x.task_id = any(d.task_chain) and x.task_id <> t.id)
          or t.requester_id <> p.requester_id or d.agent_chain <> e.agent_chain
          or d.task_chain <> e.task_chain || t.id or d.delegation_chain <> e.delegation_chain || d.id)`.execute(
        database.db,
      );
      expect(rows[0]!.wider).toBe(0);
    }),
    { numRuns: 12 },
  );
});
