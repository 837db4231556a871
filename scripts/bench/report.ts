import type { Compared } from './compare.ts';
import { addedMs, type Run, rateRatio, typical } from './figures.ts';
import type { StartUp } from './start_up.ts';

export interface Findings {
  readonly tokens: readonly Compared[];
  readonly calls: readonly Compared[];
  readonly clicks: Run;
  readonly starts: StartUp;
}

const HEADER = [
  'What',
  ...['c=1 /s', 'p50 ms', 'p99 ms', 'ratio', 'added p50 ms'],
  ...['c=16 /s', 'p50 ms', 'p99 ms', 'ratio', 'CPU ms'],
];

/** The one table. A ratio is against the bare system of the same kind, whose own is 1. */
export function tableOf({ tokens, calls, clicks, starts }: Findings): string {
  const rows = [...compared(tokens), ...compared(calls)];
  rows.push(['Click to resumed call', '', milliseconds(clicks.p50Ms), milliseconds(clicks.p99Ms)]);
  rows.push(['First start to first 200 (with initdb)', '', milliseconds(starts.firstMs)]);
  rows.push(['Later start to first 200', '', milliseconds(starts.laterMs)]);
  const table = aligned([HEADER, ...rows.map((row) => HEADER.map((_, index) => row[index] ?? ''))]);
  return `${table}\n\n${memoryLine(starts)}`;
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
      many.cpuMs === null ? '' : milliseconds(many.cpuMs),
    ];
  });
}

function memoryLine({ memory }: StartUp): string {
  if (memory === null) return 'Memory at rest: not measured here, because this system has no /proc.';
  const { serverBytes, postgresBytes } = memory;
  return `Memory at rest: server process ${mebibytes(serverBytes)} MiB (RSS), PostgreSQL ${mebibytes(postgresBytes)} MiB (PSS of all its processes).`;
}

function aligned(rows: readonly (readonly string[])[]): string {
  const widths = HEADER.map((_, column) => Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (column === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(rows[0] ?? []), rule, ...rows.slice(1).map(line)].join('\n');
}

const whole = (value: number) => Math.round(value).toLocaleString('en');
const ratio = (value: number) => value.toFixed(2);
const milliseconds = (value: number) => (value < 100 ? value.toFixed(value < 10 ? 2 : 1) : whole(value));
const mebibytes = (bytes: number) => Math.round(bytes / 1024 / 1024);
