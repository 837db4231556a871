import { setTimeout as sleep } from 'node:timers/promises';
import type { ScriptedPerson } from '../../examples/demo/scripted_person.ts';
import { newId } from '../../src/kernel/ids.ts';
import type { History, Outcome } from './history.ts';
import { decideOn, type RecordedAgent, type RecordedGuard, type TaskToken } from './recorded_clients.ts';
import type { SeededRandom } from './seeded_random.ts';

// What people, agents and guards do all day, as a torture run has them do it: small stories of a few requests each.

/** Who takes part in a story. */
export interface Cast {
  readonly history: History;
  readonly random: SeededRandom;
  readonly agent: RecordedAgent;
  readonly guard: RecordedGuard;
  readonly person: ScriptedPerson;
  /** A task that goes on from story to story; a story may end it and leave a new one. */
  task: string | undefined;
  /** Names of actions are never used twice. */
  readonly name: string;
  actions: number;
}

const ATTEMPTS_MAX = 4;
const AGAIN_MS = [200, 900] as const;

/** Tries again after a lost reply, as clients do, for a bounded number of times. */
async function patiently(cast: Cast, ask: () => Promise<Outcome>): Promise<Outcome> {
  for (let attempt = 1; ; attempt += 1) {
    const outcome = await ask();
    if (outcome !== 'unknown' || attempt === ATTEMPTS_MAX) return outcome;
    await sleep(cast.random.between(...AGAIN_MS));
  }
}

async function liveToken(cast: Cast): Promise<TaskToken | undefined> {
  let found: TaskToken | undefined;
  const outcome = await patiently(cast, async () => {
    cast.task ??= await cast.agent.startTask(cast.guard);
    if (cast.task === undefined) return 'unknown';
    const issued = await cast.agent.issueToken(cast.guard, cast.task);
    found = issued.token;
    return issued.outcome;
  });
  // A client assertion that a new memory of replay marks does not know is refused, and so is a task that ended.
  if (outcome === 'refused') {
    cast.task = undefined;
    await sleep(cast.random.between(...AGAIN_MS));
  }
  return found;
}

async function workWithToken(cast: Cast): Promise<void> {
  const token = await liveToken(cast);
  if (token === undefined) return;
  for (let uses = cast.random.between(4, 12); uses > 0; uses -= 1) {
    await (cast.random.isLucky(0.5) ? cast.guard.introspect(token) : cast.guard.read(token));
  }
}

/** The same question at several servers at once, or one after the other. */
async function useEverywhere(cast: Cast, token: TaskToken): Promise<void> {
  await Promise.all([cast.guard.introspect(token), cast.guard.introspect(token), cast.guard.read(token)]);
}

async function revokeToken(cast: Cast): Promise<void> {
  const token = await liveToken(cast);
  if (token === undefined) return;
  await cast.guard.read(token);
  // Used while it is being revoked: either answer is right, until one says that it is dead.
  await Promise.all([patiently(cast, () => cast.agent.revoke(token)), useEverywhere(cast, token)]);
  await useEverywhere(cast, token);
}

async function endTask(cast: Cast): Promise<void> {
  const token = await liveToken(cast);
  const { task } = cast;
  if (token === undefined || task === undefined) return;
  const action = nextAction(cast);
  const stepUp = cast.random.isLucky(0.5) ? await approved(cast, token, action) : undefined;
  cast.task = undefined;
  await patiently(cast, () => cast.agent.endTask(task));
  await Promise.all([useEverywhere(cast, token), cast.agent.issueToken(cast.guard, task)]);
  if (stepUp !== undefined) await cast.guard.redeem(token, action, stepUp);
}

function nextAction(cast: Cast): string {
  cast.actions += 1;
  return `${cast.name} ${cast.actions}`;
}

async function opened(cast: Cast, token: TaskToken, action: string): Promise<string | undefined> {
  let stepUp: string | undefined;
  await patiently(cast, async () => {
    // The same call at several servers at once must be one step-up.
    const asking = Array.from({ length: cast.random.isLucky(0.3) ? 3 : 1 }, () => cast.guard.askFor(token, action));
    stepUp = (await Promise.all(asking)).find((found) => found !== undefined);
    return stepUp === undefined ? 'unknown' : 'acknowledged';
  });
  return stepUp;
}

async function approved(cast: Cast, token: TaskToken, action: string): Promise<string | undefined> {
  const stepUp = await opened(cast, token, action);
  if (stepUp === undefined) return undefined;
  const outcome = await patiently(cast, () => decideOn(cast.history, cast.person, stepUp, 'approve'));
  return outcome === 'acknowledged' ? stepUp : undefined;
}

async function approveAndRun(cast: Cast): Promise<void> {
  const token = await liveToken(cast);
  if (token === undefined) return;
  const action = nextAction(cast);
  const stepUp = await opened(cast, token, action);
  if (stepUp === undefined) return;
  if (cast.random.isLucky(0.2)) await cast.guard.redeem(token, action, stepUp);
  const waiting = cast.guard.readStepUp(stepUp, cast.random.between(0, 3));
  await patiently(cast, () => decideOn(cast.history, cast.person, stepUp, 'approve'));
  await waiting;
  await cast.guard.readStepUp(stepUp);
  await redeemBy(cast, token, action, stepUp);
  await cast.guard.readStepUp(stepUp);
}

/** Several guards' attempts race for one use, and an attempt whose reply was lost asks again. */
async function redeemBy(cast: Cast, token: TaskToken, action: string, stepUp: string): Promise<void> {
  const racers = Array.from({ length: cast.random.between(1, 3) }, async () => {
    const attempt = newId('att');
    let redemption: string | undefined;
    await patiently(cast, async () => {
      const { outcome, value } = await cast.guard.redeem(token, action, stepUp, attempt);
      redemption = value?.redemption;
      return outcome;
    });
    if (redemption === undefined) return;
    const done = redemption;
    await patiently(cast, () => cast.guard.recordOutcome(done, attempt));
    if (cast.random.isLucky(0.3)) await cast.guard.redeem(token, action, stepUp, attempt);
  });
  await Promise.all(racers);
  await cast.guard.redeem(token, action, stepUp);
}

async function denyAndTry(cast: Cast): Promise<void> {
  const token = await liveToken(cast);
  if (token === undefined) return;
  const action = nextAction(cast);
  const stepUp = await opened(cast, token, action);
  if (stepUp === undefined) return;
  await patiently(cast, () => decideOn(cast.history, cast.person, stepUp, 'deny'));
  await Promise.all([cast.guard.readStepUp(stepUp), cast.guard.redeem(token, action, stepUp)]);
  await cast.guard.readStepUp(stepUp);
}

/** Two tabs decide differently at the same moment; the first to commit wins and the other is told. */
async function decideTwice(cast: Cast): Promise<void> {
  const token = await liveToken(cast);
  if (token === undefined) return;
  const action = nextAction(cast);
  const stepUp = await opened(cast, token, action);
  if (stepUp === undefined) return;
  await Promise.all([
    decideOn(cast.history, cast.person, stepUp, 'approve'),
    decideOn(cast.history, cast.person, stepUp, 'deny'),
    cast.guard.redeem(token, action, stepUp),
  ]);
  await cast.guard.readStepUp(stepUp);
  await redeemBy(cast, token, action, stepUp);
}

const STORIES = [
  { weight: 6, tell: workWithToken },
  { weight: 3, tell: revokeToken },
  { weight: 2, tell: endTask },
  { weight: 5, tell: approveAndRun },
  { weight: 2, tell: denyAndTry },
  { weight: 2, tell: decideTwice },
] as const;

/** One story after the other until it is time to stop. */
export async function tellStories(cast: Cast, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await cast.random.pickWeighted(STORIES).tell(cast);
    await sleep(cast.random.between(5, 40));
  }
}
