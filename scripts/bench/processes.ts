import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';

/** USER_HZ, in which /proc counts; 100 on every Linux. */
const TICKS_PER_SECOND = 100;

export const hasProc = existsSync('/proc/self/smaps_rollup');

/** The processes below one, without itself: for a server, those of its PostgreSQL. */
export async function descendantsOf(pid: number): Promise<number[]> {
  const parents = await readParents();
  return [...parents.keys()].filter((candidate) => candidate !== pid && descends(candidate, pid, parents));
}

/** CPU time that these processes and all below them have used. Null where there is no /proc. */
export async function cpuMs(pids: readonly number[]): Promise<number | null> {
  if (!hasProc) return null;
  const trees = await Promise.all(pids.map(async (pid) => [pid, ...(await descendantsOf(pid))]));
  const used = await Promise.all(trees.flat().map(readTicks));
  return (used.reduce((sum, ticks) => sum + ticks, 0) / TICKS_PER_SECOND) * 1000;
}

export async function kibibytes(pid: number, file: string, field: string): Promise<number> {
  const text = await readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0);
}

// proc(5): the name in the second field may hold anything, so fields are counted from its closing bracket.
async function readTicks(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
}

async function readParents(): Promise<Map<number, number>> {
  const parents = new Map<number, number>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const status = await readFile(`/proc/${name}/status`, 'utf8').catch(() => '');
    const parent = /^PPid:\s+(\d+)/m.exec(status)?.[1];
    if (parent !== undefined) parents.set(Number(name), Number(parent));
  }
  return parents;
}

function descends(pid: number, from: number, parents: ReadonlyMap<number, number>): boolean {
  const parent = parents.get(pid);
  if (parent === undefined || parent === 0) return false;
  return parent === from || descends(parent, from, parents);
}
