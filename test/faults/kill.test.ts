import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { callWithApproval, type Waiting } from '../../src/agent/index.ts';
import { processExists } from '../../src/store/postgres/embedded/cluster.ts';
import { type Answer, call, Installation, killHard, until } from './installation.ts';
import { postmasterOf, query, readRecord, type StepUpRecord } from './records.ts';

// F1: kill -9 at every step. Afterwards a step-up is undecided or decided, never half; what was acknowledged is there; one
// approval runs its call once at most.

const ROUNDS = 8;
const LINES_PER_ROUND = 2;
const OPEN = { state: 'open', decisions: 0, grants: 0, uses: 0, redemptions: 0 };
const USED = { state: 'approved', decisions: 1, grants: 1, uses: 1, redemptions: 1 };

let place: Installation;
let client: Client;

beforeAll(async () => {
  place = await Installation.open('kill');
  client = await place.connect();
}, 120_000);
afterAll(() => place?.close());

const recordOf = (waiting: Waiting) => readRecord(place.dataDirectory, waiting.stepUpId);
const untilReported = (waiting: Waiting) =>
  until(
    'the guard reports the outcome',
    async () => {
      const record = await recordOf(waiting);
      return record.isReported ? record : undefined;
    },
    45_000,
  );

test('F1: the server dies with a step-up pending: it is pending under the same link, and can be decided', async () => {
  const waiting = await place.pending(client, 'append', 'pending');
  await killHard(place.server);
  await place.startServer();
  expect(await recordOf(waiting)).toMatchObject(OPEN);
  const again = await place.pending(client, 'append', 'pending');
  expect([again.stepUpId, again.approvalUrl]).toEqual([waiting.stepUpId, waiting.approvalUrl]);
  await place.decide(waiting, 'approve');
  expect(await call(client, 'append', 'pending')).toMatchObject({ verdict: null, isError: false });
  expect(place.runs('pending')).toBe(1);
}, 120_000);

test('F1: server and PostgreSQL die right after a decision: it stands, and its grant is redeemed once', async () => {
  const approved = await place.approved(client, 'append', 'decided');
  const denied = await place.pending(client, 'append', 'refused');
  await place.decide(denied, 'deny');
  process.kill(postmasterOf(place.dataDirectory), 'SIGKILL');
  await killHard(place.server);
  await place.startServer();
  expect(await recordOf(approved)).toMatchObject({ ...USED, uses: 0, redemptions: 0 });
  expect(await call(client, 'append', 'decided')).toMatchObject({ verdict: null, isError: false });
  const second = await call(client, 'append', 'decided');
  expect(second.verdict).toMatchObject({ kind: 'replayed', outcome: 'done' });
  expect((await call(client, 'append', 'refused')).verdict).toMatchObject({ kind: 'refused', code: 'step_up_denied' });
  expect([place.runs('decided'), place.runs('refused')]).toEqual([1, 0]);
}, 120_000);

test('F1: the server dies between redemption and outcome: used, unknown, and never run again', async () => {
  const waiting = await place.approved(client, 'append_slowly', 'redeemed');
  const running = call(client, 'append_slowly', 'redeemed');
  await place.runningIn('redeemed');
  await killHard(place.server);
  await place.startServer();
  expect(await recordOf(waiting)).toMatchObject({ ...USED, outcome: 'unknown', isReported: false });
  const meanwhile = await call(client, 'append_slowly', 'redeemed');
  expect(meanwhile).toMatchObject({ verdict: { kind: 'replayed', outcome: 'unknown' }, isError: true });
  await killHard(place.server);
  place.release();
  expect(await running).toMatchObject({ verdict: null, isError: false });
  place.release(false);
  await place.startServer();
  expect(await untilReported(waiting)).toMatchObject({ ...USED, outcome: 'done' });
  expect((await call(client, 'append_slowly', 'redeemed')).verdict).toMatchObject({
    kind: 'replayed',
    outcome: 'done',
  });
  expect(place.runs('redeemed')).toBe(1);
}, 120_000);

test('F1: a held call outlives a restart of the server and runs when a person approves', async () => {
  const { promise: told, resolve: tell } = Promise.withResolvers<Waiting>();
  const held = callWithApproval(client, { name: 'append', arguments: { line: 'held' } }, { onWaiting: tell });
  const waiting = await told;
  await killHard(place.server);
  await place.startServer();
  await place.decide(waiting, 'approve');
  expect(await held).toMatchObject({ content: [{ text: 'Appended 4 characters.' }] });
  expect(place.runs('held')).toBe(1);
}, 120_000);

test('the tool server dies in the middle of a call: outcome unknown, and the same call is not run again', async () => {
  const waiting = await place.approved(client, 'append_slowly', 'tool died');
  const running = call(client, 'append_slowly', 'tool died');
  process.kill(await place.runningIn('tool died'), 'SIGKILL');
  expect(await running).toMatchObject({ verdict: { kind: 'refused', code: 'outcome_unknown' }, isError: true });
  expect(await untilReported(waiting)).toMatchObject({ ...USED, outcome: 'unknown' });
  const again = await call(client, 'append_slowly', 'tool died');
  expect(again).toMatchObject({ verdict: { kind: 'replayed', outcome: 'unknown' }, isError: true });
  expect(place.runs('tool died')).toBe(1);
  await place.approved(client, 'append', 'next');
  expect(await call(client, 'append', 'next')).toMatchObject({ verdict: null, isError: false });
}, 120_000);

test('the gateway dies in the middle of a call: used, unknown, its tool server ends, and nothing runs again', async () => {
  const waiting = await place.approved(client, 'append_slowly', 'gateway died');
  const running = call(client, 'append_slowly', 'gateway died').catch((error: Error) => error);
  const tool = await place.runningIn('gateway died');
  await killHard(place.gateway);
  expect(await running).toBeInstanceOf(Error);
  await until('the tool server ends with its gateway', () => (processExists(tool) ? undefined : true));
  expect(await recordOf(waiting)).toMatchObject({ ...USED, outcome: 'unknown', isReported: false });
  await place.startGateway();
  client = await place.connect();
  const again = await untilActive('append_slowly', 'gateway died');
  expect(again).toMatchObject({ verdict: { kind: 'replayed', outcome: 'unknown' }, isError: true });
  expect(place.runs('gateway died')).toBe(1);
}, 120_000);

/** A gateway that has just started knows after a moment that it was accepted before. */
function untilActive(tool: 'append' | 'append_slowly', line: string): Promise<Answer> {
  return until('the gateway is active again', async () => {
    const answer = await call(client, tool, line);
    const isInactive = answer.verdict?.kind === 'refused' && answer.verdict.code === 'tool_server_inactive';
    return isInactive ? undefined : answer;
  });
}

test(`F1: ${ROUNDS} kills at random moments of approving and redeeming leave nothing half and run nothing twice`, async () => {
  const undisturbedMs = await timeOf(async () => {
    await place.approved(client, 'append', 'undisturbed');
    await call(client, 'append', 'undisturbed');
  });
  for (let round = 0; round < ROUNDS; round += 1) await killOnce(round, Math.random() * undisturbedMs * 1.5);
}, 400_000);

interface Attempt {
  readonly line: string;
  readonly waiting: Waiting;
  isAcknowledged: boolean;
  answer: Answer | undefined;
}

async function killOnce(round: number, afterMs: number): Promise<void> {
  const attempts: Attempt[] = [];
  for (let index = 0; index < LINES_PER_ROUND; index += 1) {
    const line = `round ${round}, line ${index}`;
    const waiting = await place.pending(client, 'append', line);
    attempts.push({ line, waiting, isAcknowledged: false, answer: undefined });
  }
  const working = attempts.map(async (attempt) => {
    await place.decide(attempt.waiting, 'approve');
    attempt.isAcknowledged = true;
    attempt.answer = await call(client, 'append', attempt.line);
  });
  const settled = Promise.allSettled(working);
  await sleep(afterMs);
  await killHard(place.server);
  await settled;
  await place.startServer();
  for (const attempt of attempts) {
    const told = `round ${round}, killed after ${Math.round(afterMs)} ms: ${JSON.stringify(attempt)}`;
    await settle(attempt, await recordOf(attempt.waiting), told);
  }
}

/** Checks what the kill left and brings it to its end. */
async function settle({ line, waiting, isAcknowledged, answer }: Attempt, left: StepUpRecord, told: string) {
  const isApproved = left.state === 'approved';
  expect(left, told).toMatchObject(isApproved ? { decisions: 1, grants: 1 } : OPEN);
  expect(isApproved || !isAcknowledged, told).toBe(true);
  expect(left.uses, told).toBe(left.redemptions);
  const runsBefore = place.runs(line);
  expect(runsBefore, told).toBeLessThanOrEqual(left.redemptions);
  if (answer?.verdict === null && !answer.isError) expect(runsBefore, told).toBe(1);
  if (!isApproved) await place.decide(waiting, 'approve');
  const last = await call(client, 'append', line);
  expect(await recordOf(waiting), told).toMatchObject(USED);
  if (left.redemptions === 0) expect(last, told).toMatchObject({ verdict: null, isError: false });
  else expect(last.verdict, told).toMatchObject({ kind: 'replayed' });
  // A redemption whose answer was lost with the server is used, and its call did not run: at most once, not at least once.
  expect(place.runs(line), told).toBe(left.redemptions === 0 ? 1 : runsBefore);
}

test('after all of it the audit log verifies, and has every decision, redemption and outcome once', async () => {
  const lines = place.marks().map((mark) => mark.line);
  expect(new Set(lines).size).toBe(lines.length);
  const [stored] = await query<Record<string, number>>(
    place.dataDirectory,
    `select (select count(*)::int from decisions) as "decision.made",
       (select count(*)::int from redemptions) as "grant.redeemed",
       (select count(*)::int from redemptions where outcome_at is not null) as "outcome.recorded"`,
  );
  const exported = await place.audit();
  for (const [kind, count] of Object.entries(stored!)) {
    const events = exported.split('\n').filter((line) => line.includes(`\\"${kind}\\"`));
    expect(events.length, kind).toBe(count);
  }
  expect(stored!['grant.redeemed']).toBeGreaterThan(0);
}, 120_000);

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}
