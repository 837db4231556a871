/** What one run of requests gave. */
export interface Run {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of the measured processes, per request; null where it cannot be told. */
  readonly cpuMs: number | null;
}

export function summarize(latenciesMs: readonly number[], elapsedMs: number): Run {
  const sorted = [...latenciesMs].sort((a, b) => a - b);
  return {
    requests: sorted.length,
    perSecond: (sorted.length / elapsedMs) * 1000,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    cpuMs: null,
  };
}

/** Nearest rank. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The median of each figure over the rounds. */
export function typical(runs: readonly Run[]): Run {
  return {
    requests: runs.reduce((sum, run) => sum + run.requests, 0),
    perSecond: median(runs.map((run) => run.perSecond)),
    p50Ms: median(runs.map((run) => run.p50Ms)),
    p99Ms: median(runs.map((run) => run.p99Ms)),
    cpuMs: runs.some((run) => run.cpuMs === null) ? null : median(runs.map((run) => run.cpuMs ?? 0)),
  };
}

/** Rate against the baseline of the same round, so that a slow moment of the machine counts for both. */
export function rateRatio(runs: readonly Run[], baseline: readonly Run[]): number {
  return median(runs.map((run, round) => run.perSecond / (baseline[round]?.perSecond ?? Number.NaN)));
}

/** How much longer half of the requests take at least, round by round. */
export function addedMs(runs: readonly Run[], baseline: readonly Run[]): number {
  return median(runs.map((run, round) => run.p50Ms - (baseline[round]?.p50Ms ?? Number.NaN)));
}
