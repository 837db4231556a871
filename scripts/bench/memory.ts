import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';

export interface Memory {
  /** Resident memory of the Node process. */
  readonly serverBytes: number;
  /** Of PostgreSQL's processes together; what they share is counted once (PSS). */
  readonly postgresBytes: number;
}

/** Reads /proc: the process itself, and its descendants that are PostgreSQL's. Null where there is no /proc. */
export async function readMemory(pid: number): Promise<Memory | null> {
  if (!existsSync('/proc/self/smaps_rollup')) return null;
  const parents = await readParents();
  const postgres = [...parents.keys()].filter((candidate) => candidate !== pid && descends(candidate, pid, parents));
  const shares = await Promise.all(postgres.map((one) => kibibytes(one, 'smaps_rollup', 'Pss')));
  return {
    serverBytes: (await kibibytes(pid, 'status', 'VmRSS')) * 1024,
    postgresBytes: shares.reduce((sum, share) => sum + share, 0) * 1024,
  };
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

async function kibibytes(pid: number, file: string, field: string): Promise<number> {
  const text = await readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0);
}
