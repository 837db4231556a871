import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { AgentTask, Delegated } from '../../../src/agent/index.ts';
import type { A2ACaller } from '../../../src/guard/a2a/index.ts';
import { runCommand } from '../../cli/run_command.ts';
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

// A customer wants money back. Support asks billing, which asks payment by A2A; payment refunds, and hands what is left to
// the agent that keeps the CRM, by an exchange for that agent's key.

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let organisation: Organisation;
let bea: Colleague;
let support: Member;
let billing: Member;
let payment: Member;
let keeper: Member;
let billingDesk: WorkingAgent;
let paymentDesk: WorkingAgent;
let ledger: ToolServer;
let crm: ToolServer;
/** What payment handed to the agent of the CRM. */
let handed: { readonly token: string; readonly again: () => Promise<string> };

/** Billing decides nothing itself: it asks payment, which may refund and note, and no more. */
async function bill(words: string, caller: A2ACaller<Delegated>): Promise<string> {
  const onward = await caller.exchangeFor(paymentDesk.resource, {
    tools: ['message'],
    onward: [
      { resource: ledger.resource, tools: ['refund'] },
      { resource: crm.resource, tools: ['write_note'] },
    ],
  });
  return wordsOf(await ask(paymentDesk, onward.fetch, words, passOn(caller)));
}

/** `refund 1182 240.00`: payment refunds, then has it noted. */
async function pay(words: string, caller: A2ACaller<Delegated>): Promise<string> {
  const [, order, amount] = words.split(' ');
  const forLedger = await caller.exchangeFor(ledger.resource, {
    tools: ['refund'],
    onward: [{ resource: crm.resource, tools: ['write_note'] }],
  });
  const refunded = await callAt(
    ledger,
    forLedger.fetch,
    { name: 'refund', arguments: { order, amount } },
    passOn(caller),
  );
  if (refunded.kind !== 'done') return wordsOf(refunded);
  const handOver = () =>
    payment.agent
      .exchange({
        subjectToken: () => forLedger.token(),
        resource: crm.resource,
        tools: ['write_note'],
        actorToken: () => keeper.agent.ownToken(),
      })
      .token();
  handed = { token: await handOver(), again: handOver };
  const note = { name: 'write_note', arguments: { customer: 'C-7', note: `Refunded ${amount} for ${order}` } };
  return wordsOf(await callAt(crm, sendWith(handed.token, keeper.key), note, passOn(caller)));
}

beforeAll(async () => {
  organisation = await startOrganisation();
  const [sam, pia, carl] = [
    await addColleague(organisation, 'Sam'),
    await addColleague(organisation, 'Pia'),
    await addColleague(organisation, 'Carl'),
  ];
  bea = await addColleague(organisation, 'Bea', { isAdministrator: true });
  support = await addMember(organisation, 'Support', sam);
  billing = await addMember(organisation, 'Billing', bea);
  payment = await addMember(organisation, 'Payment', pia);
  keeper = await addMember(organisation, 'CRM', carl, { dpop: true });
  await makePeers(support, billing);
  await makePeers(billing, payment);
  await makePeers(payment, keeper);
  const money = { order: text, amount: text };
  [ledger, crm, billingDesk, paymentDesk] = await Promise.all([
    startTools(organisation, 'ledger', {
      read_invoice: { risk: 'read', takes: { order: text } },
      refund: { risk: 'write', takes: money },
    }),
    startTools(organisation, 'crm', { write_note: { risk: 'write', takes: { customer: text, note: text } } }),
    startDesk(organisation, 'billing', billing, bill),
    startDesk(organisation, 'payment', payment, pay),
  ]);
});
afterAll(() => organisation?.close());

function openTask(): Promise<AgentTask> {
  return support.agent.openTask({
    purpose: 'Ticket 4711: money back',
    tools: [
      { resource: billingDesk.resource, tools: ['message'] },
      { resource: paymentDesk.resource, tools: ['message'] },
      { resource: ledger.resource, tools: ['refund'] },
      { resource: crm.resource, tools: ['write_note'] },
    ],
    budget: { amounts: [{ resource: ledger.resource, tool: 'refund', argument: '/amount', maximum: '300.00' }] },
  });
}

test('support → billing → payment → CRM: refunded and noted once each, as Olga approved, until the task ends', async () => {
  const task = await openTask();
  const toBilling = task.fetch(billingDesk.resource);
  const decided = deciding(organisation, [bea]);
  const answer = await ask(billingDesk, toBilling, 'refund 1182 240.00', decided);
  await decided.settled();
  expect(wordsOf(answer)).toBe('write_note done');
  expect(decided.asked).toHaveLength(2);
  expect(ledger.runs).toEqual([{ tool: 'refund', given: { order: '1182', amount: '240.00' } }]);
  expect(crm.runs).toEqual([{ tool: 'write_note', given: { customer: 'C-7', note: 'Refunded 240.00 for 1182' } }]);

  // Over budget: 240.00 of 300.00 are used. Nobody is asked, and nothing runs.
  const over = await ask(billingDesk, toBilling, 'refund 1183 60.01', decided);
  expect(wordsOf(over)).toContain('budget_used_up');
  expect(decided.asked).toHaveLength(2);
  expect(ledger.runs).toHaveLength(1);

  // The token of the deepest agent works for nobody else, and no longer than the task.
  expect(await statusAt(crm, sendWith(handed.token))).toBe(401);
  expect(await statusAt(crm, sendWith(handed.token, payment.key))).toBe(401);
  expect(await statusAt(crm, sendWith(handed.token, keeper.key))).toBe(200);
  await task.close();
  const isRefused = async () => (await statusAt(crm, sendWith(handed.token, keeper.key))) === 401;
  await vi.waitUntil(isRefused, { timeout: 15_000, interval: 50 });
  await expect(handed.again()).rejects.toThrow(/ended|expired|invalid/);

  await expectTraced(task.id);
});

async function expectTraced(taskId: string): Promise<void> {
  const trace = await traceOf(organisation, taskId);
  expect(trace.requester.name).toBe('Sam');
  expect(linesOf(trace)).toEqual(['Support (Sam) > Billing (Bea) > Payment (Pia) > CRM (Carl)']);
  expect(storyOf(trace)).toEqual([
    'task.started by Support',
    'call.permitted message by Support',
    'delegation.made by Billing',
    'call.permitted message by Billing',
    'delegation.made by Payment',
    'step_up.opened by Payment',
    'decision.made by Olga',
    'grant.redeemed by Payment',
    // Handed over by payment, to the agent of the CRM.
    'delegation.made by Payment',
    'step_up.opened by CRM',
    'decision.made by Olga',
    'grant.redeemed by CRM',
    'call.permitted message by Support',
    'call.permitted message by Billing',
    'task.budget_used_up refund by Payment',
    'task.ended by Support',
    'delegation.refused subject_ended by Payment',
  ]);
  const [first] = trace.tasks;
  expect(first).toMatchObject({ state: 'completed', budget: [{ used: '240.00', maximum: '300.00' }] });
  expect(eventsOf(trace, 'delegation.made').map(({ ids }) => ids.depth)).toEqual([1, 2, 3]);
  // The same for whoever reads it in a terminal.
  const { world, apiToken } = organisation;
  const environment = { COUNTERSIGN_API_TOKEN: apiToken };
  const told = await runCommand(['trace', taskId, '--url', world.issuer], { environment });
  expect(told.errors).toBe('');
  expect(told.output).toMatch(
    /Sam asked\n└ Support \(owner Sam\).*\n {2}└ Billing.*\n {4}└ Payment.*\n {6}└ CRM \(owner Carl\)/,
  );
  expect(told.output).toMatch(/A person decided +Olga/);
}
