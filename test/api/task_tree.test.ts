import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { ScriptedPerson, textOf } from '../../examples/demo/scripted_person.ts';
import { newId } from '../../src/kernel/ids.ts';
import { makeApiToken } from '../../src/people/api_tokens.ts';
import { GUARD_API } from '../../src/wire/guard_api.ts';
import { startWorld, type World } from '../e2e/world.ts';
import { addPerson } from '../support/oauth_server.ts';
import { RawAgent } from './raw_agent.ts';
import { type Answer, answerOf, postJson, RawGuard } from './raw_guard.ts';
import { expectRefused } from './unchanged.ts';

// Sub-tasks, budgets and templates through the interfaces of the product: REST, the token endpoint, guards and pages.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let world: World;
let guard: RawGuard;
let agent: RawAgent;
let other: RawAgent;
let grace: ScriptedPerson;
let machine: string;
let reader: string;

beforeAll(async () => {
  world = await startWorld({
    mode: 'standard',
    hasGateway: false,
    config: { purpose_codes: [{ code: 'billing', label: 'Billing' }] },
  });
  guard = await RawGuard.listen(world.issuer, 'notes');
  await guard.register();
  const page = await world.operator.open(`/tool-servers/${guard.toolServerId}`);
  await world.operator.submit(page, { action: /\/accept$/ });
  agent = await RawAgent.register(world);
  other = await RawAgent.register(world);
  await world.store.db.updateTable('agents').set({ state: 'active' }).execute();
  const graceId = await addPerson(world.store, 'Grace');
  await world.store.db.updateTable('people').set({ is_administrator: true }).where('id', '=', graceId).execute();
  grace = await signedIn(graceId);
  machine = await apiToken(['tasks:read', 'tasks:write']);
  reader = await apiToken(['tasks:read']);
});
afterAll(async () => {
  await guard?.close();
  await world?.close();
});

async function signedIn(personId: string): Promise<ScriptedPerson> {
  const person = new ScriptedPerson(world.issuer);
  await person.submit(await person.open(await world.signInLink(personId)), { action: /\/link\// });
  return person;
}

async function apiToken(scopes: ('tasks:read' | 'tasks:write')[]): Promise<string> {
  const by = { kind: 'person', id: world.operatorId } as const;
  const made = await makeApiToken(world.store, { name: 'CI', scopes, seconds: 600, by });
  if (!made.ok) throw new Error(made.refusal.message);
  return made.value.token;
}

const bearer = async (by: RawAgent | string) => ({
  authorization: `Bearer ${typeof by === 'string' ? by : await by.apiToken()}`,
});
const post = async (path: string, body: unknown, by: RawAgent | string = agent) =>
  postJson(`${world.issuer}/api/v1${path}`, body, await bearer(by));
const get = async (path: string, by: RawAgent | string = agent) =>
  answerOf(await fetch(`${world.issuer}/api/v1${path}`, { headers: await bearer(by) }));
const remove = async (path: string, by: RawAgent | string = agent) =>
  answerOf(await fetch(`${world.issuer}/api/v1${path}`, { method: 'DELETE', headers: await bearer(by) }));
const task = (changes: object = {}) => ({
  resource: guard.resource,
  tools: ['read_note', 'write_note'],
  purpose: 'Tidy the notes',
  ...changes,
});
async function started(answer: Promise<Answer>): Promise<string> {
  const { status, body } = await answer;
  expect(body).toMatchObject({ task_id: expect.any(String) });
  expect(status).toBe(201);
  return body.task_id;
}
async function call(taskId: string, name = 'read_note', args = { path: 'a' }): Promise<Answer> {
  const token = await agent.taskToken(guard, taskId);
  return guard.send(GUARD_API.evaluate, { body: guard.question(token, name, args) });
}

describe('a task with a budget', () => {
  test('is started, counted by every call, and read with what it used', async () => {
    const amounts = [{ tool: 'read_note', argument: '/path', maximum: '2.50' }];
    const id = await started(post('/tasks', task({ budget: { calls: 3, step_ups: 1, amounts } })));
    expect((await call(id, 'read_note', { path: '1.25' })).body).toMatchObject({ decision: 'permit' });
    expect((await call(id, 'read_note', { path: '1.26' })).body).toMatchObject({
      decision: 'deny',
      refusal: { error: 'budget_used_up', detail: { budget: `amount ${guard.toolServerId} read_note /path` } },
    });
    const expected = {
      task_id: id,
      root_id: id,
      parent_id: null,
      state: 'active',
      agent_id: agent.agent.id,
      requester_id: world.operatorId,
      tools: [{ resource: guard.resource, tools: ['read_note', 'write_note'] }],
      budget: {
        calls: { maximum: 3, used: 1 },
        step_ups: { maximum: 1, used: 0 },
        amounts: [{ resource: guard.resource, tool: 'read_note', argument: '/path', maximum: '2.50', used: '1.25' }],
      },
      ended_at: null,
    };
    const { status, body } = await get(`/tasks/${id}`);
    expect([status, body]).toMatchObject([200, expected]);
    expect((await get(`/tasks/${id}`, machine)).body).toEqual(body);
    const page = textOf((await world.operator.open(`/tasks/${id}`)).html);
    expect(page).toContain('Calls: 1 of 3');
    expect(page).toContain('1.25 of 2.50');
  });

  test.each<[string, object]>([
    ['nothing to count', {}],
    ['an unknown member', { calls: 1, tokens: 5 }],
    ['a negative count', { calls: -1 }],
    ['a part of a call', { calls: 1.5 }],
    ['an amount as a number', { amounts: [{ tool: 'read_note', argument: '/path', maximum: 5 }] }],
    ['a negative amount', { amounts: [{ tool: 'read_note', argument: '/path', maximum: '-5' }] }],
    ['a pointer that is none', { amounts: [{ tool: 'read_note', argument: 'path', maximum: '5' }] }],
    ['a tool that is not in the task', { amounts: [{ tool: 'erase', argument: '/path', maximum: '5' }] }],
    [
      'one argument twice',
      {
        amounts: [
          { tool: 'read_note', argument: '/path', maximum: '5' },
          { tool: 'read_note', argument: '/path', maximum: '6' },
        ],
      },
    ],
  ])('is refused with %s', async (_name, budget) => {
    await expectRefused(world.store, 'request_invalid', () => post('/tasks', task({ budget })));
  });

  test('names its tools by server, or with the one server beside them', async () => {
    const byServer = { tools: [{ resource: guard.resource, tools: ['read_note'] }], resource: undefined };
    const id = await started(post('/tasks', task(byServer)));
    expect((await get(`/tasks/${id}`)).body.tools).toEqual([{ resource: guard.resource, tools: ['read_note'] }]);
    await expectRefused(world.store, 'request_invalid', () => post('/tasks', task({ resource: undefined })));
    const mixed = ['read_note', { resource: guard.resource, tools: ['write_note'] }];
    await expectRefused(world.store, 'request_invalid', () => post('/tasks', task({ tools: mixed })));
  });
});

describe('a sub-task', () => {
  const part = (changes: object = {}) => task({ tools: ['read_note'], purpose: 'Read one', ...changes });

  test('gets tokens of its own, counts in its parent, and ends with it', async () => {
    const parent = await started(post('/tasks', task({ budget: { calls: 2 } })));
    const id = await started(post(`/tasks/${parent}/sub-tasks`, part()));
    expect((await get(`/tasks/${id}`)).body).toMatchObject({ parent_id: parent, root_id: parent, origin: 'sub_task' });
    const token = await agent.taskToken(guard, id);
    expect(decodeJwt(token)).toMatchObject({ task: { id, root: parent }, act: { sub: agent.agent.id } });
    expect((await call(id)).body).toMatchObject({ decision: 'permit' });
    expect((await call(parent)).body).toMatchObject({ decision: 'permit' });
    expect((await call(id)).body).toMatchObject({ refusal: { error: 'budget_used_up' } });
    expect((await get(`/tasks/${parent}`)).body.budget).toEqual({ calls: { maximum: 2, used: 2 } });
    expect((await remove(`/tasks/${parent}?how=cancelled`)).body).toEqual({ task_id: parent, state: 'cancelled' });
    expect((await get(`/tasks/${id}`)).body.state).toBe('cancelled');
    const answer = await guard.send(GUARD_API.evaluate, { body: guard.question(token, 'read_note', { path: 'a' }) });
    expect(answer.body).toMatchObject({ decision: 'deny', refusal: { error: 'task_ended' } });
    await expectRefused(world.store, 'task_ended', () => post(`/tasks/${parent}/sub-tasks`, part()));
  });

  test('is refused what its parent does not have, and strangers are told nothing', async () => {
    const parent = await started(post('/tasks', task({ tools: ['read_note'], seconds: 600, budget: { calls: 2 } })));
    const refused = (code: Parameters<typeof expectRefused>[1], changes: object, by = agent) =>
      expectRefused(world.store, code, () => post(`/tasks/${parent}/sub-tasks`, part(changes), by));
    await refused('outside_delegation', { tools: ['write_note'] });
    await refused('outside_delegation', { seconds: 700 });
    await refused('outside_delegation', { budget: { calls: 3 } });
    await refused('request_invalid', { purpose_code: 'billing' });
    const foreign = await refused('not_found', {}, other);
    const unknown = await expectRefused(world.store, 'not_found', () =>
      post(`/tasks/${newId('tsk')}/sub-tasks`, part(), other),
    );
    expect(foreign.body).toEqual(unknown.body);
    await expectRefused(world.store, 'not_found', () => get(`/tasks/${parent}`, other));
    const events = await world.store.db
      .selectFrom('events')
      .select('body')
      .where('kind', '=', 'task.refused')
      .execute();
    expect(events.filter(({ body }) => body.includes(parent)).length).toBe(5);
  });
});

describe('ending', () => {
  test('a machine that may write tasks ends any, one that reads none, and each says how', async () => {
    const id = await started(post('/tasks', task()));
    await expectRefused(world.store, 'not_allowed', () => remove(`/tasks/${id}?how=cancelled`, reader));
    await expectRefused(world.store, 'request_invalid', () => remove(`/tasks/${id}?how=expired`, machine));
    expect((await remove(`/tasks/${id}?how=cancelled`, machine)).body).toEqual({ task_id: id, state: 'cancelled' });
    const second = await started(post('/tasks', task()));
    expect((await remove(`/tasks/${second}?how=completed`)).body).toEqual({ task_id: second, state: 'completed' });
  });

  test('a machine starts nothing itself', async () => {
    const answer = await post('/tasks', task(), machine);
    expect(answer.status).toBe(401);
  });
});

describe('a template', () => {
  const proposal = (name: string, changes: object = {}) =>
    task({ name, purpose_code: 'billing', tools: ['read_note'], budget: { calls: 1 }, seconds: 900, ...changes });
  const approve = async (person: ScriptedPerson, id: string) =>
    person.submit(await person.open('/task-templates'), { action: new RegExp(`${id}/approve$`) });

  test('that an agent proposed is approved by somebody else on the page, then starts tasks until it is retired', async () => {
    const proposed = await post('/task-templates', proposal('nightly'));
    expect(proposed).toMatchObject({ status: 201, body: { state: 'pending' } });
    const { template_id: id, approval_url: url } = proposed.body;
    expect(url).toBe(`${world.issuer}/task-templates`);
    await expectRefused(world.store, 'not_found', () => post('/tasks', { template: 'nightly' }));
    // Olga owns the agent: her page has no such button, and her post is refused.
    await expect(approve(world.operator, id)).rejects.toThrow('There is no form');
    const shown = await grace.open('/task-templates');
    expect(textOf(shown.html)).toContain('Notes agent wants to start such tasks for Olga');
    await approve(grace, id);
    const approved = await get(`/task-templates/${id}`);
    expect(approved.body).toMatchObject({ state: 'active', in_force: true, budget: { calls: 1 }, seconds: 900 });
    const first = await started(post('/tasks', { template: 'nightly' }));
    const second = await started(post('/tasks', { template: id, seconds: 120 }));
    expect(first).not.toBe(second);
    expect((await get(`/tasks/${first}`)).body).toMatchObject({
      origin: 'template',
      template_id: id,
      purpose: 'Tidy the notes',
      purpose_code: 'billing',
      budget: { calls: { maximum: 1, used: 0 } },
    });
    expect((await call(first)).body).toMatchObject({ decision: 'permit' });
    expect((await call(first)).body).toMatchObject({ refusal: { error: 'budget_used_up' } });
    await expectRefused(world.store, 'request_invalid', () => post('/tasks', { template: 'nightly', tools: ['x'] }));
    await expectRefused(world.store, 'not_allowed', () => post('/tasks', { template: 'nightly', seconds: 901 }));
    await expectRefused(world.store, 'not_found', () => post('/tasks', { template: 'nightly' }, other));
    const page = await world.operator.open('/task-templates');
    await world.operator.submit(page, { action: new RegExp(`${id}/retire$`) });
    await expectRefused(world.store, 'not_found', () => post('/tasks', { template: 'nightly' }));
    expect((await get(`/task-templates/${id}`)).body.state).toBe('retired');
    // Its name is free again, and a task that runs goes on.
    expect((await post('/task-templates', proposal('nightly'))).status).toBe(201);
    expect((await get(`/tasks/${second}`)).body.state).toBe('active');
  });

  test('that a machine proposed is not approved by whoever made its token', async () => {
    const owned = await post('/task-templates', proposal('weekly', { agent_id: agent.agent.id }), machine);
    const { template_id: id } = owned.body;
    await expect(approve(world.operator, id)).rejects.toThrow('There is no form');
    const forged = await world.operator.open('/task-templates');
    const answer = await world.operator.submit(
      { ...forged, html: forged.html.replaceAll(`${id}/retire`, `${id}/approve`) },
      { action: new RegExp(`${id}/approve$`) },
    );
    expect(answer.status).toBe(403);
    expect((await get(`/task-templates/${id}`, machine)).body.state).toBe('pending');
    expect((await remove(`/task-templates/${id}`, machine)).body).toEqual({ template_id: id, state: 'retired' });
    await expect(approve(grace, id)).rejects.toThrow('There is no form');
  });

  test('is refused for another agent, a taken name, a tool beyond the bound, and to whoever may only read', async () => {
    expect((await post('/task-templates', proposal('hourly'))).status).toBe(201);
    const refused = (code: Parameters<typeof expectRefused>[1], changes: object, by: RawAgent | string = agent) =>
      expectRefused(world.store, code, () => post('/task-templates', proposal('hourly', changes), by));
    await refused('conflict', {});
    await refused('not_allowed', { name: 'x', agent_id: other.agent.id });
    await refused('not_allowed', { name: 'x', agent_id: agent.agent.id }, reader);
    await refused('request_invalid', { name: 'x' }, machine);
    await refused('request_invalid', { name: 'Not a name' });
    await refused('request_invalid', { name: 'x', purpose_code: 'other' });
    await refused('tool_unknown', { name: 'x', tools: ['erase_disk'], budget: undefined });
    const bounded = await RawAgent.register(world, { [guard.toolServerId]: ['write_note'] });
    await world.store.db.updateTable('agents').set({ state: 'active' }).execute();
    await refused('not_allowed', { name: 'x' }, bounded);
    expect((await get('/task-templates', other)).body).toEqual({ templates: [] });
    const all = await get(`/task-templates?agent_id=${agent.agent.id}`, reader);
    expect(all.body.templates.map(({ name }: { name: string }) => name)).toContain('hourly');
  });

  test('starts nothing for people who do not answer for the agent any more', async () => {
    const { body } = await post('/task-templates', proposal('yearly'));
    await approve(grace, body.template_id);
    const heir = await addPerson(world.store, 'Hedy');
    const agents = world.store.db.updateTable('agents').where('id', '=', agent.agent.id);
    await agents.set({ owner_id: heir }).execute();
    await expectRefused(world.store, 'not_allowed', () => post('/tasks', { template: 'yearly' }));
    await agents.set({ owner_id: world.operatorId }).execute();
    await started(post('/tasks', { template: 'yearly' }));
  });
});

test('an agent whose end has passed reads no trace and takes nothing back', async () => {
  const authorization = `Bearer ${await other.apiToken()}`;
  const { id } = other.agent;
  await world.store.db
    .updateTable('agents')
    .set({ ends_at: new Date(Date.now() - 1000) })
    .where('id', '=', id)
    .execute();
  for (const [method, path] of [
    ['GET', '/tasks/tsk_any/trace'],
    ['DELETE', '/delegations/dlg_any'],
  ] as const) {
    const answer = await fetch(`${world.issuer}/api/v1${path}`, { method, headers: { authorization } });
    expect(await answer.json()).toMatchObject({ error: 'agent_inactive', error_description: 'The agent has ended.' });
  }
});
