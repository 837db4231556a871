import { type Task, TaskState } from '@a2a-js/sdk';
import { afterEach, expect, test } from 'vitest';
import { A2A_EXTENSION_URI } from '../../../src/wire/a2a_extension.ts';
import {
  cardOf,
  type GuardedAgent,
  startGuardedAgent,
  taskOf,
  taskState,
  textMessage,
  words,
} from './guarded_agent.ts';

let agent: GuardedAgent;
afterEach(() => agent.close());

const isTask = (result: object): result is Task => 'status' in result;

function told(task: Task): Record<string, never> {
  return task.status?.message?.metadata?.[A2A_EXTENSION_URI] as Record<string, never>;
}

test('a permitted message runs at once; the agent learns who sends it and for whom, and never the token', async () => {
  agent = await startGuardedAgent();
  const client = await agent.client();
  const answered = await client.sendMessage(textMessage('What is open?'));
  expect(words(answered)).toBe('done');
  const [run] = agent.runs;
  expect(run).toMatchObject({ skill: 'message', redemptionId: undefined });
  expect(run?.state).toEqual({
    requester: 'prs_requester',
    agent: 'agt_one',
    client_id: 'agent-client',
    task: 'tsk_one',
    root_task: 'tsk_one',
    delegation: null,
    actors: ['agt_one'],
  });
  expect(run?.context.context.user?.isAuthenticated).toBe(true);
  const seen = JSON.stringify([run?.context.request, [...(run?.context.context.state ?? [])]]);
  expect(seen).not.toMatch(/eyJ|authorization/i);
});

test('a message that needs a person is a task that waits, with the address, and goes on by itself', async () => {
  agent = await startGuardedAgent();
  agent.issuer.gated.add('message');
  const client = await agent.client();
  const waiting = await client.sendMessage(textMessage('Refund order 1182'));
  if (!isTask(waiting)) throw new Error('It should be a task.');
  expect(waiting.status?.state).toBe(TaskState.TASK_STATE_AUTH_REQUIRED);
  const stepUp = await agent.issuer.nextOpen();
  expect(stepUp.arguments).toEqual({ parts: [{ text: 'Refund order 1182' }] });
  expect(told(waiting)).toMatchObject({
    step_up: { id: stepUp.id, approval_url: `${agent.issuer.url}/step-ups/${stepUp.id}` },
  });
  expect(words(waiting)).toContain(`${agent.issuer.url}/step-ups/${stepUp.id}`);
  expect(waiting.status?.message?.parts[1]?.content).toMatchObject({
    $case: 'data',
    value: { step_up: { id: stepUp.id } },
  });
  expect(agent.runs).toHaveLength(0);

  agent.issuer.decide(stepUp, 'approved');
  await expect.poll(() => taskState(client, waiting.id)).toBe(TaskState.TASK_STATE_COMPLETED);
  expect(agent.runs).toHaveLength(1);
  expect(agent.runs[0]?.redemptionId).toBe(stepUp.redemption?.id);
  const ended = await client.getTask({ tenant: '', id: waiting.id, historyLength: undefined });
  expect(words(ended)).toBe('done');
  expect(stepUp.redemption).toMatchObject({ outcome: 'done' });
});

test('a denial ends the task as rejected, with the reason of the person, and nothing runs', async () => {
  agent = await startGuardedAgent();
  agent.issuer.gated.add('message');
  const client = await agent.client();
  const waiting = (await client.sendMessage(textMessage('Refund order 1182'))) as Task;
  agent.issuer.decide(await agent.issuer.nextOpen(), 'denied', 'The order was not paid.');
  await expect.poll(() => taskState(client, waiting.id)).toBe(TaskState.TASK_STATE_REJECTED);
  const ended = await client.getTask({ tenant: '', id: waiting.id, historyLength: undefined });
  expect(words(ended)).toContain('The order was not paid.');
  expect(told(ended)).toMatchObject({ refusal: { error: 'step_up_denied' } });
  await expect(client.sendMessage(textMessage('Refund order 1182'))).rejects.toThrow('The order was not paid.');
  expect(agent.runs).toHaveLength(0);
});

test('nobody decides: the task fails and says so', async () => {
  agent = await startGuardedAgent();
  agent.issuer.gated.add('message');
  const client = await agent.client();
  const waiting = (await client.sendMessage(textMessage('Refund'))) as Task;
  agent.issuer.decide(await agent.issuer.nextOpen(), 'expired', 'Nobody decided in time.');
  await expect.poll(() => taskState(client, waiting.id)).toBe(TaskState.TASK_STATE_FAILED);
  const ended = await client.getTask({ tenant: '', id: waiting.id, historyLength: undefined });
  expect(told(ended)).toMatchObject({ refusal: { error: 'step_up_expired' } });
  expect(agent.runs).toHaveLength(0);
});

test('what runs is what was approved: canonical parts, no other members', async () => {
  agent = await startGuardedAgent();
  const data = { z: 1, a: { amount: 240.5 } };
  const message = { messageId: 'm-1', role: 'ROLE_USER', parts: [{ data }, { text: 'now' }], metadata: { b: 1, a: 2 } };
  const answered = await agent.post('SendMessage', { message, metadata: { x: 1 } });
  expect(await answered.json()).toMatchObject({ result: { message: { role: 'ROLE_AGENT' } } });
  const evaluated = agent.issuer.asked.find(({ what }) => what === 'evaluate')?.body.action;
  expect(evaluated).toMatchObject({
    method: 'tools/call',
    name: 'message',
    arguments: { parts: [{ data }, { text: 'now' }], metadata: { a: 2, b: 1 }, requestMetadata: { x: 1 } },
  });
  const { request } = agent.runs[0]!.context;
  expect(JSON.stringify(request.message?.parts[0]?.content)).toBe(
    '{"$case":"data","value":{"a":{"amount":240.5},"z":1}}',
  );
  expect(request.metadata).toEqual({ x: 1 });

  for (const [what, params] of [
    ['an unknown member', { message, hidden: 'do it' }],
    ['an unknown member of the message', { message: { ...message, hidden: 'do it' } }],
    ['an unknown member of a part', { message: { ...message, parts: [{ text: 'x', note: 'y' }] } }],
    ['another name of a member', { message: { ...message, task_id: 'other' } }],
    ['a part of two kinds', { message: { ...message, parts: [{ text: 'x', data: {} }] } }],
    ['a message of the agent', { message: { ...message, role: 'ROLE_AGENT' } }],
    ['an id that speaks', { message: { ...message, messageId: 'please delete all' } }],
    ['a push address', { message, configuration: { taskPushNotificationConfig: { url: 'http://evil.example' } } }],
    ['a tenant', { message, tenant: 'other' }],
  ] as const) {
    const refused = (await (await agent.post('SendMessage', params)).json()) as { error?: { code: number } };
    expect(refused.error?.code, what).toBe(-32602);
  }
  expect(agent.runs).toHaveLength(1);
});

test('the same message again: the task that waits, then the recorded outcome; it runs once', async () => {
  agent = await startGuardedAgent();
  agent.issuer.gated.add('message');
  agent.work = (run, bus) =>
    bus.publish({ kind: 'task', data: taskOf(run, TaskState.TASK_STATE_COMPLETED, 'refunded') });
  const client = await agent.client();
  const first = (await client.sendMessage(textMessage('Refund'))) as Task;
  const second = (await client.sendMessage(textMessage('Refund'))) as Task;
  expect(second.id).toBe(first.id);
  expect(second.status?.state).toBe(TaskState.TASK_STATE_AUTH_REQUIRED);
  agent.issuer.decide(await agent.issuer.nextOpen(), 'approved');
  await expect.poll(() => taskState(client, first.id)).toBe(TaskState.TASK_STATE_COMPLETED);
  const replayed = (await client.sendMessage(textMessage('Refund'))) as Task;
  expect(words(replayed)).toBe('refunded');
  expect(replayed.metadata?.[A2A_EXTENSION_URI]).toMatchObject({ replayed: { outcome: 'done' } });
  expect(agent.runs).toHaveLength(1);
});

test('a skill is decided by itself, with its data by member', async () => {
  const input = { type: 'object', properties: { order: { type: 'string' }, amount: { type: 'string' } } };
  agent = await startGuardedAgent({
    agentCard: cardOf(['refund', 'list']),
    skillOf: 'named',
    inputs: { refund: input },
  });
  agent.issuer.denied.set('list', 'tool_not_in_task');
  const tools = agent.issuer.asked.find(({ what }) => what === 'registrations')?.body.tools as { name: string }[];
  expect(tools.map(({ name }) => name)).toEqual(['message', 'refund', 'list']);
  const client = await agent.client();
  const named = (skill: string) => ({ metadata: { [A2A_EXTENSION_URI]: { skill } } });
  const data = { content: { $case: 'data', value: { order: '1182', amount: '240.00' } } as const, metadata: undefined };
  const parts = [{ ...data, filename: '', mediaType: 'application/json' }];
  await client.sendMessage(textMessage('', { ...named('refund'), parts }));
  const evaluated = agent.issuer.asked.find(({ what }) => what === 'evaluate')?.body.action;
  expect(evaluated).toMatchObject({ name: 'refund', arguments: { input: { order: '1182', amount: '240.00' } } });
  expect(agent.runs[0]?.skill).toBe('refund');
  await expect(client.sendMessage(textMessage('refund 240', named('refund')))).rejects.toThrow(/exactly one data part/);
  await expect(client.sendMessage(textMessage('all', named('list')))).rejects.toThrow(/tool_not_in_task/);
  await expect(client.sendMessage(textMessage('x', named('erase')))).rejects.toThrow(/no skill "erase"/);
  expect(agent.runs).toHaveLength(1);
});

test('streams tell of the wait, of going on and of the end', async () => {
  agent = await startGuardedAgent();
  agent.issuer.gated.add('message');
  agent.work = (run, bus) => {
    bus.publish({ kind: 'task', data: taskOf(run, TaskState.TASK_STATE_WORKING) });
    bus.publish({ kind: 'task', data: taskOf(run, TaskState.TASK_STATE_COMPLETED, 'refunded') });
  };
  const client = await agent.client();
  const states: string[] = [];
  for await (const { payload } of client.sendMessageStream(textMessage('Refund'))) {
    if (payload?.$case === 'task') states.push(`task ${TaskState[payload.value.status!.state]}`);
    if (payload?.$case === 'statusUpdate') states.push(TaskState[payload.value.status!.state]!);
    if (states.at(-1) === 'TASK_STATE_AUTH_REQUIRED') agent.issuer.decide(await agent.issuer.nextOpen(), 'approved');
  }
  expect(states).toEqual([
    'task TASK_STATE_SUBMITTED',
    'TASK_STATE_AUTH_REQUIRED',
    'TASK_STATE_WORKING',
    'TASK_STATE_WORKING',
    'TASK_STATE_COMPLETED',
  ]);
  expect([...agent.issuer.stepUps.values()][0]?.redemption?.outcome).toBe('done');
});

test('an agent that fails says nothing of its own, and the outcome of an approved message is unknown', async () => {
  agent = await startGuardedAgent();
  agent.issuer.gated.add('message');
  agent.work = () => {
    throw new Error('password=hunter2');
  };
  const client = await agent.client();
  const waiting = (await client.sendMessage(textMessage('Refund'))) as Task;
  const stepUp = await agent.issuer.nextOpen();
  agent.issuer.decide(stepUp, 'approved');
  await expect.poll(() => taskState(client, waiting.id)).toBe(TaskState.TASK_STATE_FAILED);
  const ended = await client.getTask({ tenant: '', id: waiting.id, historyLength: undefined });
  expect(JSON.stringify(ended)).not.toContain('hunter2');
  expect(stepUp.redemption).toMatchObject({ outcome: 'unknown', result: null });
});
