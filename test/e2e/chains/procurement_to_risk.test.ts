import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { AgentTask, Delegated } from '../../../src/agent/index.ts';
import type { A2ACaller } from '../../../src/guard/a2a/index.ts';
import type { WorkingAgent } from '../a2a_agent.ts';
import { deciding } from './deciding.ts';
import { ask, passOn, startDesk, wordsOf } from './hops.ts';
import {
  addColleague,
  addMember,
  type Colleague,
  type Member,
  makePeers,
  type Organisation,
  startOrganisation,
} from './organisation.ts';
import { callAt, sendWith, startTools, statusAt, type ToolServer, text } from './tools.ts';
import { eventsOf, linesOf, storyOf, traceOf } from './trace.ts';

// A vendor is to be taken on. Procurement asks the agent of the buying policy by A2A; that one hands the check to the agent
// of vendor risk by an exchange for its key, for vendors up to a spend; a broker that nobody approved gets nowhere.

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let organisation: Organisation;
let vera: Colleague;
let procurement: Member;
let policy: Member;
let risk: Member;
let broker: Member;
let policyDesk: WorkingAgent;
let vendors: ToolServer;
let handed: { readonly token: string; readonly again: () => Promise<string> };

async function check(words: string, caller: A2ACaller<Delegated>): Promise<string> {
  const [, vendor, spend] = words.split(' ');
  const mine = await caller.exchangeFor(vendors.resource, { tools: ['read_vendor', 'approve_vendor'] });
  const read = await callAt(vendors, mine.fetch, { name: 'read_vendor', arguments: { vendor } }, passOn(caller));
  if (read.kind !== 'done') return wordsOf(read);
  const handOver = () =>
    policy.agent
      .exchange({
        subjectToken: () => mine.token(),
        resource: vendors.resource,
        tools: ['approve_vendor'],
        constraints: [{ tool: 'approve_vendor', argument: '/spend', must: { be: 'at_most', maximum: '5000.00' } }],
        actorToken: () => risk.agent.ownToken(),
      })
      .token();
  handed = { token: await handOver(), again: handOver };
  const approval = { name: 'approve_vendor', arguments: { vendor, spend } };
  return wordsOf(await callAt(vendors, sendWith(handed.token, risk.key), approval, passOn(caller)));
}

beforeAll(async () => {
  organisation = await startOrganisation();
  vera = await addColleague(organisation, 'Vera', { isAdministrator: true });
  const [pru, polly, bob] = [
    await addColleague(organisation, 'Pru'),
    await addColleague(organisation, 'Polly'),
    await addColleague(organisation, 'Bob'),
  ];
  procurement = await addMember(organisation, 'Procurement', pru);
  policy = await addMember(organisation, 'Policy', polly);
  risk = await addMember(organisation, 'Vendor risk', vera, { dpop: true });
  broker = await addMember(organisation, 'Broker', bob, { dpop: true });
  await makePeers(procurement, policy);
  await makePeers(policy, risk);
  [vendors, policyDesk] = await Promise.all([
    startTools(organisation, 'vendors', {
      read_vendor: { risk: 'read', takes: { vendor: text } },
      approve_vendor: { risk: 'write', takes: { vendor: text, spend: text } },
    }),
    startDesk(organisation, 'policy', policy, check),
  ]);
});
afterAll(() => organisation?.close());

function openTask(by: Member): Promise<AgentTask> {
  return by.agent.openTask({
    purpose: 'Take on a vendor',
    tools: [
      { resource: policyDesk.resource, tools: ['message'] },
      { resource: vendors.resource, tools: ['read_vendor', 'approve_vendor'] },
    ],
  });
}

test('procurement → policy → vendor risk: taken on as Olga approved, within the spend, until the risk agent is offboarded', async () => {
  const task = await openTask(procurement);
  const send = task.fetch(policyDesk.resource);
  const decided = deciding(organisation, [vera]);
  const answer = await ask(policyDesk, send, 'check acme 4900.00', decided);
  await decided.settled();
  expect(wordsOf(answer)).toBe('approve_vendor done');
  expect(decided.asked).toHaveLength(1);
  // Above the spend that the hop carries, nobody is asked.
  expect(wordsOf(await ask(policyDesk, send, 'check acme 5000.01', decided))).toContain('outside_delegation');
  expect(decided.asked).toHaveLength(1);
  expect(vendors.runs.filter(({ tool }) => tool === 'approve_vendor')).toEqual([
    { tool: 'approve_vendor', given: { vendor: 'acme', spend: '4900.00' } },
  ]);

  // Unknown peers: one that asks, and one that work would be handed to.
  const brokered = await openTask(broker);
  const runs = vendors.runs.length;
  const stranger = await ask(policyDesk, brokered.fetch(policyDesk.resource), 'check acme 1.00', decided);
  expect(stranger).toMatchObject({ kind: 'refused', code: 'peer_unknown' });
  const actorToken = await broker.agent.ownToken();
  const toBroker = task.handOver({ resource: vendors.resource, tools: ['read_vendor'], actorToken });
  await expect(toBroker).rejects.toThrow(/not approved as peers/);
  expect(vendors.runs).toHaveLength(runs);

  const deepest = sendWith(handed.token, risk.key);
  expect(await statusAt(vendors, deepest)).toBe(200);
  await organisation.api('POST', `/agents/${risk.id}/offboard`, { reason: 'The vendor tool is replaced.' });
  await vi.waitUntil(async () => (await statusAt(vendors, deepest)) === 401, { timeout: 15_000, interval: 50 });
  await expect(handed.again()).rejects.toThrow();
  // Who stands above goes on.
  const own = task.fetch(vendors.resource);
  const reading = { name: 'read_vendor', arguments: { vendor: 'acme' } };
  expect(await callAt(vendors, own, reading)).toMatchObject({ kind: 'done' });

  await expectTraced(task.id);
  const foreign = await traceOf(organisation, brokered.id);
  expect(linesOf(foreign)).toEqual(['Broker (Bob)']);
  expect(storyOf(foreign)).toEqual(['task.started by Broker', 'call.denied message peer_unknown by Broker']);
});

async function expectTraced(taskId: string): Promise<void> {
  const trace = await traceOf(organisation, taskId);
  expect(trace.requester.name).toBe('Pru');
  expect(linesOf(trace)).toEqual(['Procurement (Pru) > Policy (Polly) > Vendor risk (Vera)']);
  expect(storyOf(trace)).toEqual([
    'task.started by Procurement',
    'call.permitted message by Procurement',
    'delegation.made by Policy',
    'call.permitted read_vendor by Policy',
    // Handed over by the agent of the buying policy, to that of vendor risk.
    'delegation.made by Policy',
    'step_up.opened by Vendor risk',
    'decision.made by Olga',
    'grant.redeemed by Vendor risk',
    // The same hop again, above the spend.
    'call.permitted message by Procurement',
    'call.permitted read_vendor by Policy',
    'call.denied approve_vendor outside_delegation by Vendor risk',
    'delegation.refused peer_not_approved by Procurement',
    'delegation.revoked by pipeline',
    'delegation.refused taker_inactive by Policy',
    'call.permitted read_vendor by Procurement',
  ]);
  const [, policyHop, riskHop] = trace.delegations;
  expect(policyHop!.constraints).toEqual([]);
  expect(riskHop).toMatchObject({
    tools: { [vendors.id]: ['approve_vendor'] },
    constraints: [{ tool: 'approve_vendor', argument: '/spend', must: { be: 'at_most', maximum: '5000.00' } }],
  });
  expect(riskHop!.revoked_at).not.toBeNull();
  // Nobody sent a trace of their own.
  expect(eventsOf(trace, 'call.permitted').every(({ ids }) => ids.traceparent === undefined)).toBe(true);
}
