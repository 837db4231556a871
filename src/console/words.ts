import { type Html, html } from '../kernel/html.ts';
import type { JsonObject } from '../kernel/json.ts';

/** A moment: UTC with the zone named; a script rewrites it in the reader's own zone. */
export function time(at: Date): Html {
  const iso = at.toISOString();
  return html`<time datetime="${iso}">${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC</time>`;
}

const UNITS = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
] as const;

/** "5 minutes", "1 hour 30 minutes": the two largest units. */
export function duration(seconds: number): string {
  const parts: string[] = [];
  let left = Math.max(0, Math.round(seconds));
  for (const [unit, size] of UNITS) {
    const count = Math.floor(left / size);
    if (count > 0) parts.push(plural(count, unit));
    left -= count * size;
  }
  return parts.slice(0, 2).join(' ') || '0 seconds';
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** "Ada", "Ada and Ben", "Ada, Ben and Cy". */
export function list(items: readonly string[], joint: 'and' | 'or' = 'and'): string {
  if (items.length < 2) return items[0] ?? '';
  return `${items.slice(0, -1).join(', ')} ${joint} ${items.at(-1)}`;
}

/** A size as people write it: "312 B", "20.4 kB". */
export function size(bytes: number): string {
  return bytes < 1000 ? `${bytes} B` : `${(bytes / 1000).toFixed(1)} kB`;
}

/** What a registered deployment runs, in words: its address, or the command line as it is started. */
export function deploymentText(deployment: string): string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(deployment);
  } catch {
    return deployment;
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return deployment;
  const { url, command, args, agent, name: program, version } = parsed as JsonObject;
  const name = program ?? agent;
  if (typeof url === 'string') return url;
  if (typeof name === 'string') return `${name} ${typeof version === 'string' ? version : ''}`.trim();
  if (typeof command !== 'string') return deployment;
  const words = Array.isArray(args) ? args.filter((word) => typeof word === 'string') : [];
  return [command, ...words].map((word) => (/^[\w@%+=:,./~-]+$/.test(word) ? word : JSON.stringify(word))).join(' ');
}
