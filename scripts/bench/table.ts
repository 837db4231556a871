/** A Markdown table; the first column is text, the others are figures. */
export function tableOf(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows.map((row) => header.map((_, index) => row[index] ?? ''))];
  const widths = header.map((_, column) => Math.max(3, ...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (column === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(header), rule, ...all.slice(1).map(line)].join('\n');
}

export const whole = (value: number): string => Math.round(value).toLocaleString('en');
export const ratio = (value: number): string => value.toFixed(2);
export const milliseconds = (value: number): string =>
  Math.abs(value) < 100 ? value.toFixed(Math.abs(value) < 10 ? 2 : 1) : whole(value);
export const orNothing = (value: number | null): string => (value === null ? '' : milliseconds(value));

/** What an aim came to, in the words of the document. */
export function verdict(isMet: boolean): string {
  return isMet ? 'met' : 'missed';
}
