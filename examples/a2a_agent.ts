// A small agent of the A2A SDK that other agents send work to, guarded in one call. Start a Countersign server first
// (npm start), then:
//   node examples/a2a_agent.ts
// accept the registration at the address it prints, and say there which agent acts at this address. In a project of your
// own, import from 'countersign/a2a'.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AgentCard, Role, type Task, TaskState } from '@a2a-js/sdk';
import type { AgentExecutor } from '@a2a-js/sdk/server';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { countersignOf, type GuardKey, generateGuardKey, protectA2A } from '../src/guard/a2a/index.ts';

const { ISSUER = 'http://localhost:9400', PORT = '9600', KEY_FILE = 'a2a-guard-key.json' } = process.env;
const resource = `http://localhost:${PORT}/a2a`;

/** Refunds orders. What it is told to refund is one data part, whose members policies, delegations and budgets can name. */
const refunds: AgentExecutor = {
  async execute(requestContext, bus) {
    const { agent, skill } = countersignOf(requestContext);
    const { taskId, contextId, userMessage } = requestContext;
    const [part] = userMessage.parts;
    const { order, amount } = part?.content?.$case === 'data' ? part.content.value : {};
    const text =
      skill === 'refund' ? `Refunded ${amount} EUR to order ${order}, as ${agent} asked.` : 'I refund orders.';
    const parts = [
      { content: { $case: 'text', value: text } as const, metadata: undefined, filename: '', mediaType: '' },
    ];
    const said = { parts, metadata: undefined, extensions: [], referenceTaskIds: [] };
    const message = { messageId: `${taskId}-done`, contextId, taskId, role: Role.ROLE_AGENT, ...said };
    const status = { state: TaskState.TASK_STATE_COMPLETED, message, timestamp: new Date().toISOString() };
    bus.publish({
      kind: 'task',
      data: { id: taskId, contextId, status, artifacts: [], history: [], metadata: {} } satisfies Task,
    });
    bus.finished();
  },
  async cancelTask() {},
};

const agentCard: AgentCard = {
  name: 'Refunds',
  description: 'Refunds orders of customers',
  version: '1.0.0',
  provider: undefined,
  supportedInterfaces: [],
  capabilities: { streaming: true, extensions: [] },
  securitySchemes: {},
  securityRequirements: [],
  defaultInputModes: ['application/json'],
  defaultOutputModes: ['text/plain'],
  skills: [
    {
      id: 'refund',
      name: 'Refund an order',
      description: 'Sends money back to whoever paid an order',
      tags: ['billing'],
      examples: ['{"order": "1182", "amount": "240.00"}'],
      inputModes: ['application/json'],
      outputModes: ['text/plain'],
      securityRequirements: [],
    },
  ],
  signatures: [],
};

const agent = protectA2A(refunds, {
  issuer: ISSUER,
  resource,
  key: await readOrMakeKey(KEY_FILE),
  name: 'refunds',
  agentCard,
  // This executor serves exactly the skill that was decided; else leave it out.
  skillOf: 'named',
  inputs: {
    refund: {
      type: 'object',
      properties: { order: { type: 'string' }, amount: { type: 'string' } },
      required: ['order', 'amount'],
      additionalProperties: false,
    },
  },
  proposedRisks: { message: 'read', refund: 'write' },
});

const server = createServer().on('request', toNodeHandler(agent));
server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`The guarded agent listens at ${resource}. Accept it at ${ISSUER}/tool-servers`);
});
agent.ready().then(
  () => console.log('The registration is accepted: messages are decided now.'),
  () => {},
);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    server.close();
    server.closeAllConnections();
    await agent.close();
  });
}

async function readOrMakeKey(file: string): Promise<GuardKey> {
  // The key is the identity of this guard: a new one would be a new registration.
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as GuardKey;
  const made = await generateGuardKey();
  writeFileSync(file, JSON.stringify(made), { mode: 0o600, flag: 'wx' });
  return made;
}
