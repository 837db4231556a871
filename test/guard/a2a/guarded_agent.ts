import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type AgentCard, type Message, Role, type Task, type TaskState } from '@a2a-js/sdk';
import {
  type Client,
  ClientFactory,
  ClientFactoryOptions,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
} from '@a2a-js/sdk/client';
import type { AgentExecutor, ExecutionEventBus, RequestContext } from '@a2a-js/sdk/server';
import { toNodeHandler } from '@modelcontextprotocol/node';
import {
  type A2AGuardOptions,
  type A2AServer,
  countersignOf,
  generateGuardKey,
  protectA2A,
} from '../../../src/guard/a2a/index.ts';
import { FakeIssuer } from '../fake_issuer.ts';

export function cardOf(skills: readonly string[] = [], streaming = true): AgentCard {
  return {
    name: 'Billing',
    description: 'Keeps the books',
    version: '1.0.0',
    provider: undefined,
    supportedInterfaces: [],
    capabilities: { streaming, pushNotifications: false, extensions: [] },
    securitySchemes: {},
    securityRequirements: [],
    defaultInputModes: ['text/plain', 'application/json'],
    defaultOutputModes: ['text/plain'],
    skills: skills.map((id) => ({
      id,
      name: id,
      description: `Does ${id}`,
      tags: [],
      examples: [],
      inputModes: [],
      outputModes: [],
      securityRequirements: [],
    })),
    signatures: [],
  };
}

export interface Run {
  readonly message: Message;
  readonly skill: string;
  readonly redemptionId: string | undefined;
  readonly state: unknown;
  readonly context: RequestContext;
}

export interface GuardedAgent {
  readonly issuer: FakeIssuer;
  readonly server: A2AServer;
  readonly resource: string;
  readonly origin: string;
  /** Every run of the executor, in order. */
  readonly runs: Run[];
  /** What the executor does. */
  work: (run: Run, bus: ExecutionEventBus) => Promise<void> | void;
  cancels: string[];
  /** A client of the SDK whose requests carry a token with these claims. */
  client(claims?: Record<string, unknown>): Promise<Client>;
  /** A JSON-RPC request by hand. */
  post(
    method: string,
    params: unknown,
    options?: { token?: string; headers?: Record<string, string> },
  ): Promise<Response>;
  close(): Promise<void>;
}

/** A small agent of the SDK behind a guard, with a fake issuer. */
export async function startGuardedAgent(options: Partial<A2AGuardOptions> = {}): Promise<GuardedAgent> {
  const issuer = await FakeIssuer.start();
  const http = createServer();
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const resource = `${origin}/a2a`;
  issuer.resource = resource;
  const runs: Run[] = [];
  const cancels: string[] = [];
  const agent = {
    work: (run: Run, bus: ExecutionEventBus) => bus.publish({ kind: 'message', data: answerTo(run, 'done') }),
  } as {
    work: GuardedAgent['work'];
  };
  const executor: AgentExecutor = {
    async execute(context, bus) {
      const { skill, redemptionId } = countersignOf(context);
      const state = context.context.state.get('countersign');
      const run = { message: context.userMessage, skill, redemptionId, state, context };
      runs.push(run);
      await agent.work(run, bus);
    },
    async cancelTask(taskId) {
      cancels.push(taskId);
    },
  };
  const key = await generateGuardKey();
  const server = protectA2A(executor, { issuer: issuer.url, resource, key, agentCard: cardOf(), ...options });
  http.on('request', toNodeHandler(server));
  const post: GuardedAgent['post'] = async (method, params, { token, headers = {} } = {}) =>
    fetch(resource, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'a2a-version': '1.0',
        authorization: `Bearer ${token ?? (await issuer.token())}`,
        ...headers,
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
    });
  await server.ready();
  return Object.assign(agent, {
    issuer,
    server,
    resource,
    origin,
    runs,
    cancels,
    post,
    client: async (claims: Record<string, unknown> = {}) => {
      const fetchImpl: typeof fetch = async (url, init) => {
        const headers = new Headers(init?.headers);
        headers.set('authorization', `Bearer ${await issuer.token({ claims: claims as never })}`);
        return fetch(url, { ...init, headers });
      };
      const factory = new ClientFactory(
        ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
          transports: [new JsonRpcTransportFactory({ fetchImpl })],
          cardResolver: new DefaultAgentCardResolver(),
        }),
      );
      return factory.createFromUrl(origin);
    },
    async close() {
      await server.close();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
      await issuer.close();
    },
  });
}

let sent = 0;

export function textMessage(text: string, more: Partial<Message> = {}) {
  sent += 1;
  const message: Message = {
    messageId: `message-${sent}`,
    contextId: '',
    taskId: '',
    role: Role.ROLE_USER,
    parts: [{ content: { $case: 'text', value: text }, metadata: undefined, filename: '', mediaType: '' }],
    metadata: undefined,
    extensions: [],
    referenceTaskIds: [],
    ...more,
  };
  return { tenant: '', message, configuration: undefined, metadata: undefined };
}

export function answerTo({ context }: Run, text: string): Message {
  const { taskId, contextId } = context;
  const parts = [
    { content: { $case: 'text', value: text } as const, metadata: undefined, filename: '', mediaType: '' },
  ];
  return {
    messageId: `answer-${taskId}`,
    contextId,
    taskId: '',
    role: Role.ROLE_AGENT,
    parts,
    metadata: undefined,
    extensions: [],
    referenceTaskIds: [],
  };
}

/** A whole task of an agent, in one event. */
export function taskOf({ context }: Run, state: TaskState, text?: string): Task {
  const { taskId, contextId } = context;
  const message = text === undefined ? undefined : { ...answerTo({ context } as Run, text), taskId };
  return {
    id: taskId,
    contextId,
    status: { state, message, timestamp: undefined },
    artifacts: [],
    history: [],
    metadata: {},
  };
}

export function words(result: Task | Message): string {
  const message = 'parts' in result ? result : result.status?.message;
  return (message?.parts ?? []).map(({ content }) => (content?.$case === 'text' ? content.value : '')).join('\n');
}

export async function taskState(client: Client, id: string): Promise<TaskState | undefined> {
  return (await client.getTask({ tenant: '', id, historyLength: undefined })).status?.state;
}
