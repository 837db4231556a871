import { descendantsOf, hasProc, kibibytes } from './processes.ts';

export interface Memory {
  /** Resident memory of the Node process. */
  readonly serverBytes: number;
  /** Of PostgreSQL's processes together; what they share is counted once (PSS). */
  readonly postgresBytes: number;
}

/** Null where there is no /proc. */
export async function readMemory(pid: number): Promise<Memory | null> {
  if (!hasProc) return null;
  const postgres = await descendantsOf(pid);
  const shares = await Promise.all(postgres.map((one) => kibibytes(one, 'smaps_rollup', 'Pss')));
  return {
    serverBytes: (await kibibytes(pid, 'status', 'VmRSS')) * 1024,
    postgresBytes: shares.reduce((sum, share) => sum + share, 0) * 1024,
  };
}
