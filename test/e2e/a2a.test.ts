import type { Message, Task } from '@a2a-js/sdk';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { decideByScript } from '../../examples/demo/approver.ts';
import {
  callTool,
  createServiceAgent,
  type Delegated,
  generateAgentKey,
  type Outcome,
  type ServiceAgent,
  sendWithApproval,
  type Waiting,
} from '../../src/agent/index.ts';
import { createAgent } from '../../src/agents/registry.ts';
import type { A2ACaller } from '../../src/guard/a2a/index.ts';
import { a2aClient, messageOf, startWorkingAgent, type WorkingAgent } from './a2a_agent.ts';
import { type NotesServer, startNotes } from './guarded_notes.ts';
import { startWorld, type World } from './world.ts';

// Real servers and SDKs on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let world: World;
let notes: NotesServer;
let support: Registered;
let billing: Registered;
let stranger: Registered;
let agent: WorkingAgent;
let risky: WorkingAgent;
const closing: (() => Promise<unknown>)[] = [];

interface Registered {
  readonly id: string;
  readonly agent: ServiceAgent;
}

async function register(name: string, dpop = false): Promise<Registered> {
  const { key, publicJwk } = await generateAgentKey();
  const { operatorId: ownerId } = world;
  const terms = { delegation_depth_max: 4 };
  const made = await createAgent(world.store, {
    ...{ name, purpose: `Does ${name}`, ownerId, by: ownerId, keys: [publicJwk], bound: null, terms: terms as never },
  });
  if (!made.ok) throw new Error(made.refusal.message);
  return {
    id: made.value.id,
    agent: createServiceAgent({ issuer: world.issuer, clientId: made.value.client_id, key, dpop }),
  };
}

async function makePeers(from: Registered, to: Registered): Promise<void> {
  const approved_by = world.operatorId;
  await world.store.db
    .insertInto('agent_peers')
    .values([
      { agent_id: from.id, direction: 'to', peer_id: to.id, approved_by },
      { agent_id: to.id, direction: 'from', peer_id: from.id, approved_by },
    ])
    .execute();
}

/** What billing does: it reads or writes a note, at the notes server, for whoever asked. */
async function work(text: string, caller: A2ACaller<Delegated>): Promise<string> {
  const onward = await caller.exchangeFor(notes.resource, { tools: ['read_notes', 'write_note'] });
  const client = new Client({ name: 'billing', version: '1' });
  await client.connect(new StreamableHTTPClientTransport(new URL(notes.resource), { fetch: onward.fetch }));
  try {
    const call = text.startsWith('write')
      ? { name: 'write_note', arguments: { text } }
      : { name: 'read_notes', arguments: {} };
    const outcome = await callTool(client, call, {
      onWaiting: (waiting) => caller.tellWaiting(waiting),
      secondsMax: 50,
    });
    return outcome.kind === 'done' ? JSON.stringify(outcome.result) : `${outcome.kind}: ${JSON.stringify(outcome)}`;
  } finally {
    await client.close();
  }
}

beforeAll(async () => {
  world = await startWorld({ hasGateway: false });
  closing.push(() => world.close());
  notes = await startNotes(world);
  closing.push(() => notes.close());
  [support, billing, stranger] = [
    await register('Support', true),
    await register('Billing'),
    await register('Stranger'),
  ];
  await makePeers(support, billing);
  const as = billing.agent;
  agent = await startWorkingAgent(world, { name: 'billing', as, agentId: billing.id, risk: 'read', work });
  closing.push(() => agent.close());
  risky = await startWorkingAgent(world, {
    name: 'refunds',
    as,
    agentId: billing.id,
    risk: 'write',
    work: async () => 'refunded',
  });
  closing.push(() => risky.close());
});
afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

function openTask(by: ServiceAgent) {
  return by.openTask({
    tools: [
      { resource: agent.resource, tools: ['message'] },
      { resource: risky.resource, tools: ['message'] },
      { resource: notes.resource, tools: ['read_notes', 'write_note'] },
    ],
    purpose: 'Answer a customer',
  });
}

function textIn(outcome: Outcome<Task | Message>): string {
  if (outcome.kind !== 'done') throw new Error(JSON.stringify(outcome));
  const message = 'parts' in outcome.result ? outcome.result : outcome.result.status?.message;
  return (message?.parts ?? []).map(({ content }) => (content?.$case === 'text' ? content.value : '')).join('');
}

test('an agent asks another, which goes on for it at a third: the chain is kept, and the token is not passed on', async () => {
  await using task = await openTask(support.agent);
  const client = await a2aClient(agent.origin, task.fetch(agent.resource));
  const outcome = await sendWithApproval(client, messageOf('read the notes'));
  expect(textIn(outcome)).toContain('no notes');
  const { caller } = agent.runs.at(-1)!;
  expect(caller).toMatchObject({ requester: world.operatorId, agent: support.id, task: task.id, actors: [support.id] });
  const hop = await world.store.db
    .selectFrom('delegations')
    .selectAll()
    .where('task_id', '=', task.id)
    .where('kind', '=', 'exchange')
    .executeTakeFirstOrThrow();
  expect(hop.agent_chain).toEqual([support.id, billing.id]);
});

describe('a message that a person must approve', () => {
  async function ask(text: string, decision: 'approve' | 'deny'): Promise<Outcome<Task | Message>> {
    await using task = await openTask(support.agent);
    const client = await a2aClient(risky.origin, task.fetch(risky.resource));
    const asked: Waiting[] = [];
    const outcome = await sendWithApproval(client, messageOf(text), {
      onWaiting: (waiting) => {
        asked.push(waiting);
        void decideByScript(world.operator, waiting, decision);
      },
    });
    expect(asked).toHaveLength(1);
    return outcome;
  }

  test('runs once, when it was approved', async () => {
    const before = risky.runs.length;
    expect(textIn(await ask('refund order 1182', 'approve'))).toBe('refunded');
    expect(risky.runs.slice(before).map(({ text }) => text)).toEqual(['refund order 1182']);
    expect(risky.runs.at(-1)?.caller.redemptionId).toMatch(/^red_/);
  });

  test('never runs when it was refused, and the sender gets the reason of the person', async () => {
    const before = risky.runs.length;
    const outcome = await ask('refund order 1183', 'deny');
    expect(outcome).toMatchObject({ kind: 'denied' });
    expect(risky.runs).toHaveLength(before);
  });
});

test('an approval that is needed further down reaches whoever asked first, and the work goes on', async () => {
  await using task = await openTask(support.agent);
  const client = await a2aClient(agent.origin, task.fetch(agent.resource));
  const asked: Waiting[] = [];
  const outcome = await sendWithApproval(client, messageOf('write: call back'), {
    onWaiting: (waiting) => {
      asked.push(waiting);
      void decideByScript(world.operator, waiting, 'approve');
    },
  });
  expect(asked).toHaveLength(1);
  expect(textIn(outcome)).toContain('written');
  expect(notes.runs.at(-1)).toMatchObject({ text: 'write: call back' });
});

test('an agent that is no approved peer is refused, and told so; with a person looking at it, it may ask', async () => {
  await using task = await openTask(stranger.agent);
  const runs = agent.runs.length;
  const client = await a2aClient(agent.origin, task.fetch(agent.resource));
  const outcome = await sendWithApproval(client, messageOf('read the notes'));
  expect(outcome).toMatchObject({ kind: 'refused', code: 'peer_unknown' });
  expect(agent.runs).toHaveLength(runs);

  const risk = await a2aClient(risky.origin, task.fetch(risky.resource));
  const asked = await sendWithApproval(risk, messageOf('refund order 1184'), {
    onWaiting: (waiting) => void decideByScript(world.operator, waiting, 'approve'),
  });
  expect(textIn(asked)).toBe('refunded');
});

test('an ended task ends what its agent may ask', async () => {
  const task = await openTask(support.agent);
  const client = await a2aClient(agent.origin, task.fetch(agent.resource));
  await sendWithApproval(client, messageOf('read the notes'));
  await task.close();
  const outcome = await sendWithApproval(client, messageOf('read the notes again')).catch((error: Error) => error);
  expect(outcome).not.toMatchObject({ kind: 'done' });
});
