import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Evidence } from './check_history.ts';
import type { Inflicted } from './fault_plan.ts';
import { Topology } from './topology.ts';
import { Torture } from './torture.ts';

// A randomized run: people, agents and guards work while servers and stores fail, and between the phases the history that
// they recorded is checked against the four invariants. The same seed gives the same choices; what the machine makes of
// them in time differs. `npm run torture -- <minutes> <seed>` runs it for longer.

const MINUTE_MS = 60_000;
/** Two quiet cores need less than two minutes; a machine with other work may take its time. */
const PHASE_MS_MAX = 8 * MINUTE_MS;
/** Healing and checking, beyond the phase itself. */
const REST_MS_MAX = 4 * MINUTE_MS;

const seed = setting('SEED') ?? randomInt(2 ** 31);
const minutes = setting('MINUTES');
const phases = minutes === undefined ? 3 : Math.max(1, Math.ceil(minutes / 2));
const operationsMin = minutes === undefined ? 10_000 : 0;
const phaseMs = minutes === undefined ? PHASE_MS_MAX : (minutes * MINUTE_MS) / phases;

/** Taken out of the environment: a server refuses a variable with its prefix that is none of its settings. */
function setting(name: string): number | undefined {
  const text = process.env[`COUNTERSIGN_TORTURE_${name}`];
  delete process.env[`COUNTERSIGN_TORTURE_${name}`];
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new Error(`COUNTERSIGN_TORTURE_${name} must be a number, not "${text}".`);
}

let place: Topology;
let torture: Torture;
beforeAll(async () => {
  place = await Topology.open('torture');
  torture = await Torture.prepare(place, seed);
}, 4 * MINUTE_MS);
afterAll(async () => {
  await torture?.close();
  await place?.close();
}, MINUTE_MS);

for (let phase = 1; phase <= phases; phase += 1) {
  test(
    `seed ${seed}, phase ${phase} of ${phases}`,
    async () => {
      const startedAt = performance.now();
      const enough = operationsMin === 0 ? Number.POSITIVE_INFINITY : (operationsMin / phases) * phase;
      const isOver = () => torture.history.operations.length >= enough || performance.now() - startedAt > phaseMs;
      const faultsBefore = torture.inflicted.length;
      await torture.runPhase(phase, isOver);
      const { violations, evidence } = await torture.check();
      const faults = torture.inflicted.slice(faultsBefore);
      const bugs = torture.history.statuses.get(500) ?? 0;
      const kept = violations.length + bugs === 0 ? '' : `What was seen is kept in ${await keep(evidence)}\n`;
      const told = tell(startedAt, faults, evidence.events.length) + kept;
      process.stdout.write(told);
      expect(violations, told).toEqual([]);
      // An outage is told as one; 500 is a bug.
      expect(bugs, told).toBe(0);
      // A server that answers nothing breaks no rule.
      expect(torture.history.answered, told).toBeGreaterThan(torture.history.operations.length / 2);
      expect(faults.length, told).toBeGreaterThan(0);
    },
    phaseMs + REST_MS_MAX,
  );
}

test(`seed ${seed}: it was work enough, and calls of every kind ran`, () => {
  const { operations } = torture.history;
  expect(operations.length).toBeGreaterThanOrEqual(operationsMin);
  const done = new Set(operations.filter((one) => one.outcome === 'acknowledged').map((one) => one.kind));
  for (const kind of ['revoke_token', 'end_task', 'decide', 'redeem', 'record_outcome', 'read_step_up'] as const) {
    expect(done).toContain(kind);
  }
  expect(torture.runs().size).toBeGreaterThan(0);
});

/** The history, the log and what the servers wrote, for whoever has to find out why. */
async function keep({ history, events }: Evidence): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), `countersign-torture-${seed}-`));
  await writeFile(join(directory, 'history.json'), JSON.stringify(history));
  await writeFile(join(directory, 'events.json'), JSON.stringify(events));
  await writeFile(join(directory, 'faults.json'), JSON.stringify(torture.inflicted));
  for (const { log, index } of place.nodes) {
    if (existsSync(log)) await copyFile(log, join(directory, `server${index}.log`));
  }
  return directory;
}

function tell(startedAt: number, faults: readonly Inflicted[], events: number): string {
  const { operations, answered, statuses } = torture.history;
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  const lines = faults.map(({ name, at, problem, seconds: lasted }) => {
    return `  ${seconds(at - startedAt)}: ${name}, ${lasted.toFixed(1)} s${problem === null ? '' : `; ${problem}`}`;
  });
  const took = seconds(performance.now() - startedAt);
  const sum = `Seed ${seed}: ${operations.length} operations so far, ${answered} answered; ${events} events; ${took}`;
  const counts = [...statuses].sort().map(([status, count]) => `${status}: ${count}`);
  return `${[sum, `  HTTP statuses so far: ${counts.join(', ')}`, ...lines].join('\n')}\n`;
}
