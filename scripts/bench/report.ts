import { TOKEN_RATIO_MIN } from './aims.ts';
import type { Compared } from './compare.ts';
import { addedMs, type Run, rateRatio, typical } from './figures.ts';
import type { StartUp } from './start_up.ts';
import { milliseconds, orNothing, ratio, tableOf, verdict, whole } from './table.ts';

const HEADER = [
  'What',
  ...['c=1 /s', 'p50 ms', 'p99 ms', 'ratio', 'added p50 ms'],
  ...['c=16 /s', 'p50 ms', 'p99 ms', 'ratio', 'CPU ms'],
];

/** A ratio is against the bare system of the same kind, whose own is 1. */
export function comparedTable(group: readonly Compared[]): string {
  return tableOf(HEADER, compared(group));
}

/** Of each server against the baseline on the same stores. */
export function tokensTable(group: readonly Compared[]): string {
  const reached = group
    .filter(({ name, baseline }) => name !== baseline)
    .map((entry) => {
      const bare = group.find(({ name }) => name === entry.baseline) ?? entry;
      const [one, many] = [rateRatio(entry.one, bare.one), rateRatio(entry.many, bare.many)];
      const isMet = Math.min(one, many) >= TOKEN_RATIO_MIN;
      return `${entry.name}: ${ratio(one)} and ${ratio(many)}, ${verdict(isMet)}.`;
    });
  const aim = `Aim: at least ${ratio(TOKEN_RATIO_MIN)} of the rate of bare oidc-provider on the same store, with 1 and with 16 connections.`;
  return `${comparedTable(group)}\n\n${aim} ${reached.join(' ')}`;
}

export function clicksTable(clicks: Run): string {
  const row = ['Click to resumed call', milliseconds(clicks.p50Ms), milliseconds(clicks.p99Ms)];
  return tableOf(['What', 'p50 ms', 'p99 ms'], [row]);
}

export function startsTable(starts: StartUp): string {
  const rows = [
    ['First start to first 200 (with initdb)', milliseconds(starts.firstMs)],
    ['Later start to first 200', milliseconds(starts.laterMs)],
  ];
  return `${tableOf(['What', 'ms'], rows)}\n\n${memoryLine(starts)}`;
}

function compared(group: readonly Compared[]): string[][] {
  return group.map((entry) => {
    const baseline = group.find(({ name }) => name === entry.baseline) ?? entry;
    const isBaseline = baseline === entry;
    const one = typical(entry.one);
    const many = typical(entry.many);
    return [
      entry.name,
      ...[whole(one.perSecond), milliseconds(one.p50Ms), milliseconds(one.p99Ms)],
      isBaseline ? '1' : ratio(rateRatio(entry.one, baseline.one)),
      isBaseline ? '' : milliseconds(addedMs(entry.one, baseline.one)),
      ...[whole(many.perSecond), milliseconds(many.p50Ms), milliseconds(many.p99Ms)],
      isBaseline ? '1' : ratio(rateRatio(entry.many, baseline.many)),
      orNothing(many.cpuMs),
    ];
  });
}

function memoryLine({ memory }: StartUp): string {
  if (memory === null) return 'Memory at rest: not measured here, because this system has no /proc.';
  const { serverBytes, postgresBytes } = memory;
  return `Memory at rest: server process ${mebibytes(serverBytes)} MiB (RSS), PostgreSQL ${mebibytes(postgresBytes)} MiB (PSS of all its processes).`;
}

const mebibytes = (bytes: number) => Math.round(bytes / 1024 / 1024);
