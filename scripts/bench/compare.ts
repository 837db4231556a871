import type { Run } from './figures.ts';
import { MANY_CONNECTIONS, MANY_CONNECTIONS_MS, ONE_CONNECTION_MS, ROUNDS, WARM_UP_MS } from './limits.ts';
import type { LoadGenerator, LoadJob } from './load.ts';
import { cpuMs } from './processes.ts';

export interface Load {
  readonly connections: number;
  readonly milliseconds: number;
}

/** One system under test: what to send it now. Asked before every run, because tokens expire. */
export interface Contender {
  readonly name: string;
  /** The processes that serve it, whose CPU time counts; none if the load generator starts them. */
  readonly pids: readonly number[];
  /** The name of the contender it is measured against; itself for a baseline. */
  readonly baseline: string;
  job(load: Load): Promise<LoadJob>;
}

export interface Compared {
  readonly name: string;
  readonly baseline: string;
  readonly one: readonly Run[];
  readonly many: readonly Run[];
}

const LOADS = {
  one: { connections: 1, milliseconds: ONE_CONNECTION_MS },
  many: { connections: MANY_CONNECTIONS, milliseconds: MANY_CONNECTIONS_MS },
} as const;

/** Takes turns: every contender once per round and load, the order turned round every second time. */
export async function compare(load: LoadGenerator, contenders: readonly Contender[]): Promise<Compared[]> {
  for (const contender of contenders) {
    await load.run(await contender.job({ connections: MANY_CONNECTIONS, milliseconds: WARM_UP_MS }));
  }
  const runs = new Map(contenders.map(({ name }) => [name, { one: [] as Run[], many: [] as Run[] }]));
  for (let round = 0; round < ROUNDS; round += 1) {
    const order = round % 2 === 0 ? contenders : contenders.toReversed();
    for (const kind of ['one', 'many'] as const) {
      for (const contender of order) {
        runs.get(contender.name)?.[kind].push(await runOnce(load, contender, LOADS[kind]));
      }
    }
  }
  return contenders.map(({ name, baseline }) => ({ name, baseline, ...(runs.get(name) ?? { one: [], many: [] }) }));
}

async function runOnce(load: LoadGenerator, contender: Contender, bounds: Load): Promise<Run> {
  const job = await contender.job(bounds);
  const before = await cpuMs(contender.pids);
  const run = await load.run(job);
  const after = await cpuMs(contender.pids);
  if (before === null || after === null || contender.pids.length === 0) return run;
  return { ...run, cpuMs: (after - before) / run.requests };
}
