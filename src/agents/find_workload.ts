import { sql } from 'kysely';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Store } from '../store/store.ts';
import { WORKLOAD_USE_RECORDED_SECONDS, WORKLOADS_PER_ISSUER_MAX } from './limits.ts';
import { matchesSubject } from './subject_pattern.ts';

/** What a verified token says of the workload that sent it. */
export interface PresentedWorkload {
  readonly issuer: string;
  readonly audience: string;
  readonly subject: string;
  readonly claims: Readonly<Record<string, unknown>>;
  /** The agent it wants to be, where it says so. */
  readonly clientId: string | undefined;
}

export interface FoundWorkload {
  readonly id: string;
  readonly agentId: string;
  readonly clientId: string;
  readonly isActive: boolean;
  readonly lastUsedAt: Date | null;
}

export interface WorkloadRefusal {
  readonly code: 'unknown' | 'claims' | 'ambiguous';
  readonly message: string;
}

interface Candidate {
  readonly id: string;
  readonly agent_id: string;
  readonly client_id: string;
  readonly is_active: boolean;
  readonly last_used_at: Date | null;
  readonly subject: string;
  readonly claims: Readonly<Record<string, string>>;
}

/** The one agent that this workload is. Two that it could be are none, unless it says which. */
export async function findWorkload(
  { db }: Pick<Store, 'db'>,
  presented: PresentedWorkload,
): Promise<Result<FoundWorkload, WorkloadRefusal>> {
  const candidates = await db
    .selectFrom('agent_workloads as w')
    .innerJoin('agents as a', 'a.id', 'w.agent_id')
    .select(['w.id', 'w.agent_id', 'w.subject', 'w.claims', 'w.last_used_at', 'a.client_id'])
    .select(sql<boolean>`a.state = 'active' and coalesce(a.ends_at > clock_timestamp(), true)`.as('is_active'))
    .where('w.issuer', '=', presented.issuer)
    .where('w.audience', '=', presented.audience)
    .limit(WORKLOADS_PER_ISSUER_MAX)
    .execute();
  return chooseWorkload(candidates, presented);
}

/** When it last signed in, an hour at most behind: for whoever wonders whether it is needed. */
export async function noteWorkloadUse({ db }: Pick<Store, 'db'>, workload: FoundWorkload): Promise<void> {
  const { id, lastUsedAt } = workload;
  if (lastUsedAt !== null && Date.now() - lastUsedAt.getTime() < WORKLOAD_USE_RECORDED_SECONDS * 1000) return;
  await db
    .updateTable('agent_workloads')
    .set({ last_used_at: sql<Date>`clock_timestamp()` })
    .where('id', '=', id)
    .execute();
}

/** Pure: by subject, then by claims, then by the client id that was named. A subject without wildcard goes first. */
export function chooseWorkload(
  candidates: readonly Candidate[],
  { subject, claims, clientId }: PresentedWorkload,
): Result<FoundWorkload, WorkloadRefusal> {
  const wanted = candidates.filter((one) => clientId === undefined || one.client_id === clientId);
  const bySubject = wanted.filter((one) => matchesSubject(one.subject, subject));
  if (bySubject.length === 0) {
    return refused({ code: 'unknown', message: 'no agent is registered for this subject of this issuer' });
  }
  const matching = bySubject.filter((one) =>
    Object.entries(one.claims).every(([name, value]) => says(claims, name) === value),
  );
  if (matching.length === 0) {
    return refused({
      code: 'claims',
      message: 'other claims of the token are not those that are pinned for its agent',
    });
  }
  const exact = matching.filter((one) => one.subject === subject);
  const best = exact.length > 0 ? exact : matching;
  if (new Set(best.map((one) => one.agent_id)).size > 1) {
    return refused({ code: 'ambiguous', message: 'several agents are this workload: name one by client_id' });
  }
  const { id, agent_id, client_id, is_active, last_used_at } = best[0]!;
  return accepted({
    id,
    agentId: agent_id,
    clientId: client_id,
    isActive: is_active,
    lastUsedAt: last_used_at,
  });
}

/** A claim by its name, or within others by a JSON pointer (RFC 6901), as text; lists and objects are never equal to one. */
function says(claims: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const path = name.startsWith('/')
    ? name
        .slice(1)
        .split('/')
        .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    : [name];
  let value: unknown = claims;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, part))
      return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return typeof value === 'string' || typeof value === 'boolean' || Number.isSafeInteger(value)
    ? String(value)
    : undefined;
}
