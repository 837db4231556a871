import { createServer } from 'node:http';
import type { AgentCard, Task } from '@a2a-js/sdk';
import { Role, TaskState } from '@a2a-js/sdk';
import { type Client, ClientFactory, ClientFactoryOptions, JsonRpcTransportFactory } from '@a2a-js/sdk/client';
import type { AgentExecutor, ExecutionEventBus, RequestContext } from '@a2a-js/sdk/server';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { textOf } from '../../examples/demo/scripted_person.ts';
import type { Delegated, ServiceAgent } from '../../src/agent/index.ts';
import { freePort } from '../../src/cli/dev.ts';
import { type A2ACaller, countersignOf, generateGuardKey, protectA2A } from '../../src/guard/a2a/index.ts';
import type { RiskClass } from '../../src/wire/manifest.ts';
import type { World } from './world.ts';

export interface WorkingAgent {
  readonly resource: string;
  readonly origin: string;
  readonly toolServerId: string;
  readonly runs: { readonly text: string; readonly caller: A2ACaller<Delegated> }[];
  close(): Promise<void>;
}

export type Work = (text: string, caller: A2ACaller<Delegated>) => Promise<string>;

/** An agent of the A2A SDK behind a guard, accepted by the administrator, and paired with the agent that acts there. */
export async function startWorkingAgent(
  world: World,
  options: {
    readonly name: string;
    readonly as: ServiceAgent;
    readonly agentId: string;
    readonly risk: RiskClass;
    readonly work: Work;
  },
): Promise<WorkingAgent> {
  const port = await freePort();
  const origin = `http://localhost:${port}`;
  const resource = `${origin}/a2a`;
  const runs: WorkingAgent['runs'] = [];
  const registered = Promise.withResolvers<{ tool_server: string; console_url: string }>();
  const server = protectA2A<Delegated>(executor(options.work, runs), {
    issuer: world.issuer,
    resource,
    key: await generateGuardKey(),
    name: options.name,
    agentCard: cardOf(options.name),
    agent: options.as,
    proposedRisks: { message: options.risk },
    onRegistration: (answer) => registered.resolve(answer),
  });
  const http = createServer().on('request', toNodeHandler(server));
  await new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve));
  const ready = server.ready();
  const { tool_server: toolServerId, console_url } = await registered.promise;
  const page = await world.operator.submit(await world.operator.open(console_url), { action: /\/accept$/ });
  if (page.status !== 200) throw new Error(textOf(page.html));
  await ready;
  const serverPage = await world.operator.open(`/tool-servers/${toolServerId}`);
  const paired = await world.operator.submit(serverPage, { action: /\/agent$/ }, { agent: options.agentId });
  if (paired.status !== 200) throw new Error(textOf(paired.html));
  return {
    resource,
    origin,
    toolServerId,
    runs,
    async close() {
      await server.close();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

function executor(work: Work, runs: WorkingAgent['runs']): AgentExecutor {
  return {
    async execute(context: RequestContext, bus: ExecutionEventBus) {
      const caller = countersignOf<Delegated>(context);
      const text = context.userMessage.parts
        .map(({ content }) => (content?.$case === 'text' ? content.value : ''))
        .join('');
      runs.push({ text, caller });
      const answered = await work(text, caller);
      const { taskId, contextId } = context;
      const parts = [
        { content: { $case: 'text', value: answered } as const, metadata: undefined, filename: '', mediaType: '' },
      ];
      const message = {
        messageId: `${taskId}-answer`,
        contextId,
        taskId,
        role: Role.ROLE_AGENT,
        parts,
        metadata: undefined,
        extensions: [],
        referenceTaskIds: [],
      };
      const status = { state: TaskState.TASK_STATE_COMPLETED, message, timestamp: undefined };
      bus.publish({
        kind: 'task',
        data: { id: taskId, contextId, status, artifacts: [], history: [], metadata: {} } satisfies Task,
      });
      bus.finished();
    },
    async cancelTask() {},
  };
}

export async function a2aClient(origin: string, fetchImpl: typeof fetch): Promise<Client> {
  const transports = [new JsonRpcTransportFactory({ fetchImpl })];
  return new ClientFactory({ ...ClientFactoryOptions.default, transports }).createFromUrl(origin);
}

let sent = 0;

export function messageOf(text: string) {
  sent += 1;
  const parts = [
    { content: { $case: 'text', value: text } as const, metadata: undefined, filename: '', mediaType: '' },
  ];
  const message = {
    messageId: `m-${sent}`,
    contextId: '',
    taskId: '',
    role: Role.ROLE_USER,
    parts,
    metadata: undefined,
    extensions: [],
    referenceTaskIds: [],
  };
  return { tenant: '', message, configuration: undefined, metadata: undefined };
}

function cardOf(name: string): AgentCard {
  return {
    name,
    description: `The agent of ${name}`,
    version: '1.0.0',
    provider: undefined,
    supportedInterfaces: [],
    capabilities: { streaming: true, extensions: [] },
    securitySchemes: {},
    securityRequirements: [],
    defaultInputModes: ['text/plain'],
    defaultOutputModes: ['text/plain'],
    skills: [],
    signatures: [],
  };
}
