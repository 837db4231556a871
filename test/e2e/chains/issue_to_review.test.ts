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
  submitted,
} from './organisation.ts';
import { callAt, sendWith, startTools, statusAt, type ToolServer, text } from './tools.ts';
import { eventsOf, linesOf, storyOf, traceOf } from './trace.ts';

// An issue becomes a pull request, which is built and reviewed. The agent of the issues asks that of pull requests by A2A;
// it hands the build to CI by an exchange for CI's key; CI asks the reviewer by A2A, which merges. One trace (W3C) goes along.

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

let organisation: Organisation;
let rita: Colleague;
let issues: Member;
let pulls: Member;
let ci: Member;
let review: Member;
let deploy: Member;
let pullDesk: WorkingAgent;
let reviewDesk: WorkingAgent;
let forge: ToolServer;
/** What the reviewer merges with, and what became of handing it on. */
let merging: Delegated;
let deployed = '';

async function openPull(words: string, caller: A2ACaller<Delegated>): Promise<string> {
  const forReview = { resource: reviewDesk.resource, tools: ['message'] };
  const forForge = { resource: forge.resource, tools: ['open_pull', 'merge'] };
  const mine = await caller.exchangeFor(forge.resource, { tools: forForge.tools, onward: [forReview] });
  const opened = { name: 'open_pull', arguments: { branch: words.split(' ')[1] } };
  const outcome = await callAt(forge, mine.fetch, opened, passOn(caller));
  if (outcome.kind !== 'done') return wordsOf(outcome);
  const handed = await pulls.agent
    .exchange({
      subjectToken: () => mine.token(),
      ...forReview,
      onward: [{ resource: forge.resource, tools: ['merge'] }],
      actorToken: () => ci.agent.ownToken(),
    })
    .token();
  return build(handed, caller);
}

/** CI builds for whoever handed it a token of its own, and asks for a review. */
async function build(handed: string, caller: A2ACaller<Delegated>): Promise<string> {
  return wordsOf(await ask(reviewDesk, sendWith(handed, ci.key), 'merge 42', passOn(caller)));
}

async function merge(words: string, caller: A2ACaller<Delegated>): Promise<string> {
  merging = await caller.exchangeFor(forge.resource, { tools: ['merge'] });
  const onward = {
    subjectToken: () => merging.token(),
    resource: forge.resource,
    actorToken: () => deploy.agent.ownToken(),
  };
  deployed = await review.agent.exchange(onward).token().catch(String);
  const merged = { name: 'merge', arguments: { pull: words.split(' ')[1] } };
  return wordsOf(await callAt(forge, merging.fetch, merged, passOn(caller)));
}

beforeAll(async () => {
  organisation = await startOrganisation();
  rita = await addColleague(organisation, 'Rita', { isAdministrator: true });
  const [ida, paul, cleo] = [
    await addColleague(organisation, 'Ida'),
    await addColleague(organisation, 'Paul'),
    await addColleague(organisation, 'Cleo'),
  ];
  // Three hops may follow the agent of the issues: pull request, CI, review. A fourth is one too many.
  issues = await addMember(organisation, 'Issues', ida, { terms: { delegation_depth_max: 3 } });
  pulls = await addMember(organisation, 'Pulls', paul);
  ci = await addMember(organisation, 'CI', cleo, { dpop: true });
  review = await addMember(organisation, 'Review', rita);
  deploy = await addMember(organisation, 'Deploy', cleo, { dpop: true });
  for (const [from, to] of [
    [issues, pulls],
    [pulls, ci],
    [ci, review],
    [review, deploy],
  ] as const) {
    await makePeers(from, to);
  }
  [forge, pullDesk, reviewDesk] = await Promise.all([
    startTools(organisation, 'forge', {
      open_pull: { risk: 'read', takes: { branch: text } },
      merge: { risk: 'write', takes: { pull: text } },
    }),
    startDesk(organisation, 'pulls', pulls, openPull),
    startDesk(organisation, 'review', review, merge),
  ]);
});
afterAll(() => organisation?.close());

function openTask(): Promise<AgentTask> {
  return issues.agent.openTask({
    purpose: 'Fix issue 17',
    tools: [
      { resource: pullDesk.resource, tools: ['message'] },
      { resource: reviewDesk.resource, tools: ['message'] },
      { resource: forge.resource, tools: ['open_pull', 'merge'] },
    ],
  });
}

test('issue → pull request → CI → review: merged as Olga approved; offboarding an agent in the middle stops the last', async () => {
  const task = await openTask();
  const decided = deciding(organisation, [rita]);
  const answer = await ask(pullDesk, task.fetch(pullDesk.resource), 'open fix-17', {
    ...decided,
    traceparent: TRACEPARENT,
  });
  await decided.settled();
  expect(wordsOf(answer)).toBe('merge done');
  expect(decided.asked).toHaveLength(1);
  expect(forge.runs.map(({ tool }) => tool)).toEqual(['open_pull', 'merge']);
  expect(deployed).toContain('lets at most 3 hops follow it');

  const token = await merging.token();
  expect(await statusAt(forge, sendWith(token))).toBe(200);
  await submitted(organisation.olga, `/agents/${pulls.id}`, /\/offboard$/, { reason: 'Retired', is_sure: 'yes' });
  const isRefused = async () => (await statusAt(forge, sendWith(token))) === 401;
  await vi.waitUntil(isRefused, { timeout: 15_000, interval: 50 });
  await merging.onUnauthorized();
  await expect(merging.token()).rejects.toThrow();

  await expectTraced(task.id);
});

async function expectTraced(taskId: string): Promise<void> {
  const trace = await traceOf(organisation, taskId);
  expect(trace.requester.name).toBe('Ida');
  expect(linesOf(trace)).toEqual(['Issues (Ida) > Pulls (Paul) > CI (Cleo) > Review (Rita)']);
  expect(storyOf(trace)).toEqual([
    'task.started by Issues',
    'call.permitted message by Issues',
    'delegation.made by Pulls',
    'call.permitted open_pull by Pulls',
    // Handed over by the agent of pull requests, to CI.
    'delegation.made by Pulls',
    'call.permitted message by CI',
    'delegation.made by Review',
    'delegation.refused too_deep by Review',
    'step_up.opened by Review',
    'decision.made by Olga',
    'grant.redeemed by Review',
    // The agent of pull requests is offboarded: its hop and the two below it.
    'delegation.revoked by Olga',
    'delegation.revoked by Olga',
    'delegation.revoked by Olga',
    'delegation.refused subject_ended by Review',
  ]);
  expect(trace.tasks[0]).toMatchObject({ state: 'active' });
  expect(trace.delegations.map((one) => one.revoked_at !== null)).toEqual([false, true, true, true]);
  const decidedBy = [...eventsOf(trace, 'call.permitted'), ...eventsOf(trace, 'step_up.registered')];
  expect(decidedBy.map(({ ids }) => ids.traceparent)).toEqual(Array(4).fill(TRACEPARENT));
}
