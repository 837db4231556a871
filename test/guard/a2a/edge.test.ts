import type { Task } from '@a2a-js/sdk';
import { TaskState } from '@a2a-js/sdk';
import { InMemoryTaskStore } from '@a2a-js/sdk/server';
import { afterEach, expect, test } from 'vitest';
import { countersignOf, generateGuardKey, protectA2A } from '../../../src/guard/a2a/index.ts';
import { A2A_EXTENSION_URI } from '../../../src/wire/a2a_extension.ts';
import { FakeIssuer } from '../fake_issuer.ts';
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
afterEach(() => agent?.close());

const STRANGER = { act: { sub: 'agt_two', client_id: 'other-client' }, client_id: 'other-client' };

interface ErrorBody {
  readonly error: {
    readonly code: number;
    readonly message: string;
    readonly data: readonly { reason: string; domain: string; metadata: Record<string, string> }[];
  };
}

async function errorOf(response: Response): Promise<ErrorBody['error']> {
  return ((await response.json()) as ErrorBody).error;
}

const HELLO = { message: { messageId: 'm', role: 'ROLE_USER', parts: [{ text: 'hello' }] } };

test('who is no agent of the issuer, or has a token for elsewhere, is told so with 401 before anything happens', async () => {
  agent = await startGuardedAgent();
  const other = await FakeIssuer.start();
  other.resource = agent.resource;
  const tokens = {
    'of another issuer': await other.token(),
    'for another address': await agent.issuer.token({ claims: { aud: 'http://elsewhere.example/a2a' } }),
    'that expired': await agent.issuer.token({ seconds: -10 }),
    'that nobody signed': 'abc',
  };
  for (const [what, token] of Object.entries(tokens)) {
    const answered = await agent.post('SendMessage', HELLO, { token });
    expect(answered.status, what).toBe(401);
    expect(answered.headers.get('www-authenticate')).toContain('/.well-known/oauth-protected-resource/a2a');
    const { code, message, data } = await errorOf(answered);
    expect(code).toBe(-32000);
    expect(message).toContain(`only from agents of ${agent.issuer.url}`);
    expect(data[0]).toMatchObject({ domain: 'countersign', metadata: { issuer: agent.issuer.url } });
  }
  const bare = await fetch(agent.resource, { method: 'POST' });
  expect(bare.status).toBe(401);
  expect(agent.issuer.count('evaluate')).toBe(0);
  expect(agent.runs).toHaveLength(0);
  await other.close();
});

test('a peer that the server refuses gets the reason and what to do as an A2A error', async () => {
  agent = await startGuardedAgent();
  agent.issuer.denied.set('message', 'delegation_refused');
  const refused = await errorOf(await agent.post('SendMessage', HELLO));
  expect(refused.data[0]).toMatchObject({ reason: 'DELEGATION_REFUSED', domain: 'countersign' });
  expect(refused.data[0]?.metadata.next).toMatch(/may not be handed on/);
  expect(agent.runs).toHaveLength(0);
});

test('every method but six is refused, in the names of 1.0 and of 0.3, and other versions too', async () => {
  agent = await startGuardedAgent();
  for (const [method, code] of [
    ['CreateTaskPushNotificationConfig', -32003],
    ['ListTaskPushNotificationConfigs', -32003],
    ['GetExtendedAgentCard', -32004],
    ['message/send', -32004],
    ['tasks/get', -32004],
    ['agent/getAuthenticatedExtendedCard', -32004],
    ['constructor', -32004],
  ] as const) {
    expect((await errorOf(await agent.post(method, HELLO))).code, method).toBe(code);
  }
  for (const version of ['', '0.3', '2.0']) {
    const refused = await agent.post('SendMessage', HELLO, { headers: { 'a2a-version': version } });
    expect((await errorOf(refused)).code, version).toBe(-32009);
  }
  expect((await fetch(`${agent.origin}/a2a/v1/message:send`, { method: 'POST' })).status).toBe(404);
  expect((await agent.post('SendMessage', HELLO, { headers: { origin: 'http://evil.example' } })).status).toBe(403);
  expect(agent.runs).toHaveLength(0);
});

test('tasks and conversations are those of the principal: to others they are not there', async () => {
  // A store that keeps nobody apart: the guard does not rely on it.
  agent = await startGuardedAgent({ taskStore: new InMemoryTaskStore(() => 'everybody') });
  agent.work = (run, bus) => {
    const { status } = taskOf(run, TaskState.TASK_STATE_INPUT_REQUIRED, 'Which order?');
    const { taskId, contextId: conversation } = run.context;
    bus.publish({ kind: 'task', data: taskOf(run, TaskState.TASK_STATE_WORKING) });
    bus.publish({ kind: 'statusUpdate', data: { taskId, contextId: conversation, status, metadata: {} } });
  };
  const owner = await agent.client();
  const asked = (await owner.sendMessage(textMessage('Refund'))) as Task;
  expect(asked.status?.state).toBe(TaskState.TASK_STATE_INPUT_REQUIRED);
  expect(await taskState(owner, asked.id)).toBe(TaskState.TASK_STATE_INPUT_REQUIRED);
  const { id, contextId } = asked;
  const list = { tenant: '', contextId, status: 0, pageSize: 10, pageToken: '', statusTimestampAfter: undefined };
  const listed = await owner.listTasks(list as never);
  expect(listed.tasks.map((task) => task.id)).toEqual([id]);

  for (const claims of [STRANGER, { sub: 'prs_two' }, { task: { id: 'tsk_two', root: 'tsk_two' } }]) {
    const stranger = await agent.client(claims);
    await expect(taskState(stranger, id)).rejects.toThrow(/not found/i);
    await expect(stranger.cancelTask({ tenant: '', id, metadata: {} })).rejects.toThrow(/not found/i);
    await expect(stranger.sendMessage(textMessage('1182', { taskId: id }))).rejects.toThrow(/not found/i);
    await expect(stranger.sendMessage(textMessage('x', { referenceTaskIds: [id] }))).rejects.toThrow(/not found/i);
    await expect(stranger.sendMessage(textMessage('x', { contextId }))).rejects.toThrow(/contextId/);
    await expect(stranger.listTasks(list as never)).rejects.toThrow(/contextId/);
    const watched = stranger.resubscribeTask({ tenant: '', id });
    await expect(watched.next()).rejects.toThrow(/not found/i);
  }
  await expect(owner.sendMessage(textMessage('x', { contextId: 'made-up' }))).rejects.toThrow(/contextId/);
  await owner.sendMessage(textMessage('Order 1182', { taskId: id }));
  expect(agent.runs).toHaveLength(2);
  expect(agent.runs[1]?.context.contextId).toBe(contextId);
});

test('whose token ends while a person decides goes on when the principal comes back with another one', async () => {
  agent = await startGuardedAgent();
  agent.issuer.gated.add('message');
  const short = await agent.issuer.token({ seconds: 2 });
  const answered = (await (await agent.post('SendMessage', HELLO, { token: short })).json()) as {
    result: { task: { id: string } };
  };
  const { id } = answered.result.task;
  await new Promise((resolve) => setTimeout(resolve, 2_200));
  agent.issuer.decide(await agent.issuer.nextOpen(), 'approved');
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(agent.runs).toHaveLength(0);
  const client = await agent.client();
  await expect.poll(() => taskState(client, id)).toBe(TaskState.TASK_STATE_COMPLETED);
  expect(agent.runs).toHaveLength(1);
});

test('a stream ends with the token of its reader; the task goes on for whoever shows another one', async () => {
  agent = await startGuardedAgent();
  agent.issuer.gated.add('message');
  const token = await agent.issuer.token({ seconds: 2 });
  const read = (await agent.post('SendStreamingMessage', HELLO, { token })).text();
  const stepUp = await agent.issuer.nextOpen();
  await new Promise((resolve) => setTimeout(resolve, 2_200));
  const client = await agent.client();
  // The same message finds the task that waits, and shows a token that lives.
  const { id } = (await client.sendMessage(textMessage('hello'))) as Task;
  agent.issuer.decide(stepUp, 'approved');
  await expect.poll(() => taskState(client, id)).toBe(TaskState.TASK_STATE_COMPLETED);
  const seen = await read;
  expect(seen).toContain(id);
  expect(seen).toContain('TASK_STATE_AUTH_REQUIRED');
  expect(seen).not.toContain('TASK_STATE_COMPLETED');
  expect(agent.runs).toHaveLength(1);
});

test('a task whose first reader hung up is kept to its end', async () => {
  agent = await startGuardedAgent();
  agent.issuer.gated.add('message');
  const stream = await agent.post('SendStreamingMessage', HELLO);
  const stepUp = await agent.issuer.nextOpen();
  await stream.body?.cancel();
  const client = await agent.client();
  const { id } = (await client.sendMessage(textMessage('hello'))) as Task;
  agent.issuer.decide(stepUp, 'approved');
  await expect.poll(() => taskState(client, id)).toBe(TaskState.TASK_STATE_COMPLETED);
});

test('cancelling a task that waits takes the request for approval back, and nothing runs', async () => {
  agent = await startGuardedAgent();
  agent.issuer.gated.add('message');
  const client = await agent.client();
  const waiting = (await client.sendMessage(textMessage('Refund'))) as Task;
  const stepUp = await agent.issuer.nextOpen();
  const cancelled = await client.cancelTask({ tenant: '', id: waiting.id, metadata: {} });
  expect(cancelled.status?.state).toBe(TaskState.TASK_STATE_CANCELED);
  expect(stepUp.state).toBe('withdrawn');
  expect(agent.runs).toHaveLength(0);
  expect(agent.cancels).toEqual([]);
});

test('an agent cannot speak for the guard: no address of its own for approvals, no task of others', async () => {
  agent = await startGuardedAgent();
  const fake = { [A2A_EXTENSION_URI]: { step_up: { approval_url: 'http://evil.example' } }, kept: 1 };
  agent.work = (run, bus) => {
    const data = { ...taskOf(run, TaskState.TASK_STATE_COMPLETED, 'done'), id: 'other', metadata: fake };
    bus.publish({ kind: 'task', data });
  };
  const client = await agent.client();
  const answered = (await client.sendMessage(textMessage('x'))) as Task;
  expect(answered.id).not.toBe('other');
  expect(answered.metadata).toEqual({ kept: 1 });
  expect(() => countersignOf({ context: {} } as never)).toThrow(/No guard/);
  agent.work = (run) => {
    const url = 'http://evil.example/step-ups/x';
    countersignOf(run.context).tellWaiting({ stepUpId: 'x', approvalUrl: url, expiresAt: new Date() });
  };
  const refused = (await client.sendMessage(textMessage('y'))) as Task;
  expect(refused.status?.state).toBe(TaskState.TASK_STATE_FAILED);
  expect(JSON.stringify(refused)).not.toContain('evil');
});

test('an agent that waits further down says so, and goes on', async () => {
  agent = await startGuardedAgent();
  const approved = Promise.withResolvers<void>();
  agent.work = async (run, bus) => {
    const approvalUrl = `${agent.issuer.url}/step-ups/stp_below`;
    countersignOf(run.context).tellWaiting({ stepUpId: 'stp_below', approvalUrl, expiresAt: new Date() });
    await approved.promise;
    bus.publish({ kind: 'task', data: taskOf(run, TaskState.TASK_STATE_COMPLETED, 'paid') });
  };
  const client = await agent.client();
  const waiting = (await client.sendMessage(textMessage('Pay'))) as Task;
  expect(waiting.status?.state).toBe(TaskState.TASK_STATE_AUTH_REQUIRED);
  expect(words(waiting)).toContain(`${agent.issuer.url}/step-ups/stp_below`);
  approved.resolve();
  await expect.poll(() => taskState(client, waiting.id)).toBe(TaskState.TASK_STATE_COMPLETED);
});

test('the card says how to come in: one guarded interface, our extension and our OAuth', async () => {
  agent = await startGuardedAgent({ agentCard: cardOf(['refund']), skillOf: 'named' });
  for (const path of ['/.well-known/agent-card.json', '/a2a/.well-known/agent-card.json']) {
    const card = (await (await fetch(`${agent.origin}${path}`)).json()) as Record<string, never>;
    expect(card).toMatchObject({
      supportedInterfaces: [{ url: agent.resource, protocolBinding: 'JSONRPC', protocolVersion: '1.0' }],
      capabilities: {
        extensions: [
          {
            uri: A2A_EXTENSION_URI,
            params: { issuer: agent.issuer.url, resource: agent.resource, tools: ['message', 'refund'] },
          },
        ],
      },
      securitySchemes: {
        countersign: {
          oauth2SecurityScheme: {
            flows: { clientCredentials: { tokenUrl: `${agent.issuer.url}/token` } },
            oauth2MetadataUrl: `${agent.issuer.url}/.well-known/oauth-authorization-server`,
          },
        },
      },
      securityRequirements: [{ schemes: { countersign: { list: ['mcp:tools'] } } }],
    });
  }
  const metadata = await fetch(`${agent.origin}/.well-known/oauth-protected-resource/a2a`);
  expect(await metadata.json()).toMatchObject({ resource: agent.resource, authorization_servers: [agent.issuer.url] });
});

test('cards that promise what the guard refuses do not start', async () => {
  agent = await startGuardedAgent();
  const key = await generateGuardKey();
  const executor = { execute: async () => {}, cancelTask: async () => {} };
  const base = { issuer: agent.issuer.url, resource: 'http://localhost:1/a2a', key };
  const push = { ...cardOf(), capabilities: { streaming: true, pushNotifications: true, extensions: [] } };
  for (const agentCard of [push, cardOf(['message']), cardOf(['a', 'a'])]) {
    await expect(protectA2A(executor, { ...base, agentCard }).ready()).rejects.toThrow(TypeError);
  }
  await expect(protectA2A(executor, { ...base, agentCard: cardOf(['a']), inputs: { b: {} } }).ready()).rejects.toThrow(
    /no skill/,
  );
});

test('closing ends tasks that wait, which say that the message can be sent again', async () => {
  agent = await startGuardedAgent();
  agent.issuer.gated.add('message');
  const client = await agent.client();
  const states: (string | undefined)[] = [];
  for await (const { payload } of client.sendMessageStream(textMessage('Refund'))) {
    if (payload?.$case !== 'statusUpdate') continue;
    states.push(TaskState[payload.value.status!.state]);
    if (states.length === 1) void agent.server.close();
  }
  expect(states[0]).toBe('TASK_STATE_AUTH_REQUIRED');
  expect(agent.runs).toHaveLength(0);
});
