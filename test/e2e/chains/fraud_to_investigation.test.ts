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
import { callAt, sendWith, startTools, statusAt, type ToolServer, text, toolsAt } from './tools.ts';
import { eventsOf, linesOf, storyOf, traceOf } from './trace.ts';

// Fraud finds something odd and asks the agent of the case, which has one account investigated. Context is filtered between
// them: the investigator may not ask for what the case agent may see. That means, today, tools that are not handed on and
// arguments that are constrained (this account, no names); masking fields of what a tool answers is not built.

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const ALL = ['read_customer', 'read_payments', 'freeze_account'] as const;

let organisation: Organisation;
let ines: Colleague;
let fraud: Member;
let cases: Member;
let investigator: Member;
let caseDesk: WorkingAgent;
let investigatorDesk: WorkingAgent;
let accounts: ToolServer;
/** What each of the two may do at the accounts, as they got it. */
let forCase: Delegated;
let forInvestigator: Delegated;
let widened: Record<string, string>;

const account = { argument: '/account', must: { be: 'one_of' as const, values: ['ACC-1'] } };

async function open(words: string, caller: A2ACaller<Delegated>): Promise<string> {
  forCase = await caller.exchangeFor(accounts.resource, { tools: ALL });
  await forCase.token();
  const onward = await caller.exchangeFor(investigatorDesk.resource, {
    tools: ['message'],
    onward: [
      {
        resource: accounts.resource,
        tools: ['read_payments', 'freeze_account'],
        constraints: [
          { tool: 'read_payments', ...account },
          { tool: 'read_payments', argument: '/with_names', must: { be: 'absent' } },
          { tool: 'freeze_account', ...account },
        ],
      },
    ],
  });
  return wordsOf(await ask(investigatorDesk, onward.fetch, words, passOn(caller)));
}

async function investigate(words: string, caller: A2ACaller<Delegated>): Promise<string> {
  forInvestigator = await caller.exchangeFor(accounts.resource);
  await forInvestigator.token();
  const asking = (request: object) =>
    caller
      .exchangeFor(accounts.resource, request)
      .then((one) => one.token())
      .catch(String);
  widened = {
    tool: await asking({ tools: ['read_payments', 'read_customer'] }),
    // A hop adds constraints to those above; it takes none away.
    values: await asking({
      tools: ['freeze_account'],
      constraints: [{ tool: 'freeze_account', argument: '/account', must: { be: 'one_of', values: ['ACC-2'] } }],
    }),
  };
  const freeze = { name: 'freeze_account', arguments: { account: words.split(' ')[1] } };
  return wordsOf(await callAt(accounts, forInvestigator.fetch, freeze, passOn(caller)));
}

beforeAll(async () => {
  organisation = await startOrganisation();
  ines = await addColleague(organisation, 'Ines', { isAdministrator: true });
  const [fay, cid] = [await addColleague(organisation, 'Fay'), await addColleague(organisation, 'Cid')];
  fraud = await addMember(organisation, 'Fraud', fay);
  cases = await addMember(organisation, 'Case', cid);
  investigator = await addMember(organisation, 'Investigation', ines);
  await makePeers(fraud, cases);
  await makePeers(cases, investigator);
  [accounts, caseDesk, investigatorDesk] = await Promise.all([
    startTools(organisation, 'accounts', {
      read_customer: { risk: 'read', takes: { account: text } },
      read_payments: { risk: 'read', takes: { account: text, with_names: text.optional() } },
      freeze_account: { risk: 'write', takes: { account: text } },
    }),
    startDesk(organisation, 'case', cases, open),
    startDesk(organisation, 'investigation', investigator, investigate),
  ]);
});
afterAll(() => organisation?.close());

function openTask(): Promise<AgentTask> {
  return fraud.agent.openTask({
    purpose: 'Look into alert 9',
    tools: [
      { resource: caseDesk.resource, tools: ['message'] },
      { resource: investigatorDesk.resource, tools: ['message'] },
      { resource: accounts.resource, tools: [...ALL] },
    ],
  });
}

const read = (name: string, args: Record<string, string>) => ({ name, arguments: args });

/** The same calls by both: what the case agent may ask for, and what is left of it for the investigator. */
async function expectFiltered(): Promise<void> {
  expect(await toolsAt(accounts, forCase.fetch)).toEqual(['freeze_account', 'read_customer', 'read_payments']);
  expect(await toolsAt(accounts, forInvestigator.fetch)).toEqual(['freeze_account', 'read_payments']);
  const beyond = [
    read('read_customer', { account: 'ACC-1' }),
    read('read_payments', { account: 'ACC-2' }),
    read('read_payments', { account: 'ACC-1', with_names: 'yes' }),
    read('freeze_account', { account: 'ACC-2' }),
  ];
  const before = accounts.runs.length;
  for (const call of beyond) {
    const refused = await callAt(accounts, forInvestigator.fetch, call);
    expect(refused, JSON.stringify(call)).toMatchObject({ kind: 'refused' });
  }
  expect(accounts.runs).toHaveLength(before);
  expect(await callAt(accounts, forInvestigator.fetch, read('read_payments', { account: 'ACC-1' }))).toMatchObject({
    kind: 'done',
  });
  for (const call of beyond.slice(0, 3)) {
    expect(await callAt(accounts, forCase.fetch, call), JSON.stringify(call)).toMatchObject({ kind: 'done' });
  }
}

test('fraud → case → investigation: the account is frozen as Olga approved, and no more is seen than was handed on', async () => {
  const task = await openTask();
  const decided = deciding(organisation, [ines]);
  const answer = await ask(caseDesk, task.fetch(caseDesk.resource), 'freeze ACC-1', {
    ...decided,
    traceparent: TRACEPARENT,
  });
  await decided.settled();
  expect(wordsOf(answer)).toBe('freeze_account done');
  expect(decided.asked).toHaveLength(1);
  expect(accounts.runs).toEqual([{ tool: 'freeze_account', given: { account: 'ACC-1' } }]);
  expect(widened.tool).toContain('"read_customer" is not within');
  await expectFiltered();

  // Asking for another account adds a constraint to the one above; nothing meets both.
  for (const one of ['ACC-1', 'ACC-2']) {
    const other = await callAt(accounts, sendWith(widened.values!), read('freeze_account', { account: one }));
    expect(other).toMatchObject({ kind: 'refused', code: 'outside_delegation' });
  }

  const deepest = sendWith(await forInvestigator.token());
  expect(await statusAt(accounts, deepest)).toBe(200);
  await organisation.api('POST', `/agents/${fraud.id}/offboard`, { reason: 'Fraud moves to another system.' });
  await vi.waitUntil(async () => (await statusAt(accounts, deepest)) === 401, { timeout: 15_000, interval: 50 });
  await forInvestigator.onUnauthorized();
  await expect(forInvestigator.token()).rejects.toThrow();

  await expectTraced(task.id);
});

async function expectTraced(taskId: string): Promise<void> {
  const trace = await traceOf(organisation, taskId);
  expect(trace.requester.name).toBe('Fay');
  const whole = 'Fraud (Fay) > Case (Cid) > Investigation (Ines)';
  // What the case agent reads itself, what it hands on, and both of what the investigator asked for.
  expect(linesOf(trace).sort()).toEqual(['Fraud (Fay) > Case (Cid)', whole, whole]);
  const [, own, handedOn, filtered] = trace.delegations;
  expect(own).toMatchObject({ tools: { [accounts.id]: [...ALL].sort() }, constraints: [] });
  expect(handedOn!.tools![accounts.id]).toEqual(['freeze_account', 'read_payments']);
  expect(filtered!.constraints).toEqual(handedOn!.constraints);
  expect(storyOf(trace)).toEqual([
    'task.started by Fraud',
    'call.permitted message by Fraud',
    'delegation.made by Case',
    'delegation.made by Case',
    'call.permitted message by Case',
    'delegation.made by Investigation',
    'delegation.refused tool_outside by Investigation',
    'delegation.made by Investigation',
    'step_up.opened by Investigation',
    'decision.made by Olga',
    'grant.redeemed by Investigation',
    'call.denied read_customer tool_not_in_task by Investigation',
    'call.denied read_payments outside_delegation by Investigation',
    'call.denied read_payments outside_delegation by Investigation',
    'call.denied freeze_account outside_delegation by Investigation',
    'call.permitted read_payments by Investigation',
    'call.permitted read_customer by Case',
    'call.permitted read_payments by Case',
    'call.permitted read_payments by Case',
    'call.denied freeze_account outside_delegation by Investigation',
    'call.denied freeze_account outside_delegation by Investigation',
    'task.ended by pipeline',
    'delegation.refused subject_ended by Investigation',
  ]);
  // The trace that the first message came with goes down to the gated call, and no further than it was sent on.
  const [asked] = eventsOf(trace, 'step_up.registered');
  expect(asked!.ids).toMatchObject({ tool: 'freeze_account', traceparent: TRACEPARENT });
  const messages = eventsOf(trace, 'call.permitted').filter(({ ids }) => ids.name === 'message');
  expect(messages.map(({ ids }) => ids.traceparent)).toEqual([TRACEPARENT, TRACEPARENT]);
  expect(eventsOf(trace, 'call.denied').every(({ ids }) => ids.traceparent === undefined)).toBe(true);
}
