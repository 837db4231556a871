import { type Selectable, sql } from 'kysely';
import { append } from '../events/append.ts';
import { newId } from '../kernel/ids.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Acting, actingIds } from '../model/acting.ts';
import type { WorkloadIssuer } from '../model/federation.ts';
import type { AgentWorkloadsTable } from '../store/postgres/tables.ts';
import type { Store, Tx } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { Agent } from './agent.ts';
import {
  WORKLOAD_CLAIM_CHARACTERS_MAX,
  WORKLOAD_CLAIMS_MAX,
  WORKLOADS_PER_AGENT_MAX,
  WORKLOADS_PER_ISSUER_MAX,
} from './limits.ts';
import { lockToGovern, refuseUnlessGoverned } from './lock_agent.ts';
import { checkSubjectPattern } from './subject_pattern.ts';

export type Workload = Selectable<AgentWorkloadsTable>;

export interface AddWorkload {
  readonly agentId: string;
  readonly issuer: string;
  /** Exact, or with a last segment that is `*` (`subject_pattern.ts`). */
  readonly subject: string;
  /** What the token must say besides: name, or JSON pointer, and the exact value. */
  readonly claims: Readonly<Record<string, string>>;
  readonly by: Acting;
}

/** These are checked in any case, and belong to one token rather than to a workload. */
const OWN_CHECKS = new Set(['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti']);

/**
 * Lets the tokens of a trusted platform about one workload stand for an agent: a credential, as its keys are. What is too wide
 * is refused here, and not when somebody else uses it.
 */
export async function addWorkload(
  store: Store,
  trusted: readonly WorkloadIssuer[],
  input: AddWorkload,
): Promise<Result<Workload, Refusal>> {
  const platform = trusted.find(({ issuer }) => issuer === input.issuer);
  if (platform === undefined) {
    const known = trusted.map(({ issuer }) => issuer).join(', ') || 'none';
    const words = `The tokens of "${input.issuer}" are not trusted here. Issuers in federation.workload_issuers: ${known}.`;
    return refused(refusal('request_invalid', words));
  }
  const subject = checkSubject(platform, input.subject);
  if (!subject.ok) return subject;
  const claims = checkPinnedClaims(input.claims);
  if (!claims.ok) return claims;
  return transact(store, async (tx, afterCommit) => {
    const governed = await lockWorkloadAgent(tx, input);
    if (!governed.ok) return governed;
    const room = await checkRoom(tx, input);
    if (!room.ok) return room;
    const workload = await tx
      .insertInto('agent_workloads')
      .values({
        id: newId('wkl'),
        agent_id: input.agentId,
        issuer: platform.issuer,
        audience: platform.audience,
        subject: input.subject,
        claims: JSON.stringify(input.claims),
        created_by: input.by.id,
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    await append(store, tx, afterCommit, {
      kind: 'workload.added',
      ids: { agent: input.agentId, workload: workload.id, issuer: platform.issuer, ...actingIds(input.by) },
      personal: { subject: input.subject, claims: { ...input.claims } },
    });
    return accepted(workload);
  });
}

/** From this moment on no token signs in by it; what was issued before lives on for minutes at most. */
export async function removeWorkload(
  store: Store,
  { agentId, workloadId, by }: { readonly agentId: string; readonly workloadId: string; readonly by: Acting },
): Promise<Result<{ readonly id: string }, Refusal>> {
  return transact(store, async (tx, afterCommit) => {
    const governed = await lockToGovern(tx, { agentId, by });
    if (!governed.ok) return governed;
    const removed = await tx
      .deleteFrom('agent_workloads')
      .where('id', '=', workloadId)
      .where('agent_id', '=', agentId)
      .returning(['id', 'issuer', 'subject'])
      .executeTakeFirst();
    if (removed === undefined) return refused(refusal('not_found', 'This agent has no such workload.'));
    await append(store, tx, afterCommit, {
      kind: 'workload.removed',
      ids: { agent: agentId, workload: removed.id, issuer: removed.issuer, ...actingIds(by) },
      personal: { subject: removed.subject },
    });
    return accepted({ id: removed.id });
  });
}

export async function listWorkloads(store: Store, agentId: string): Promise<Workload[]> {
  return store.db
    .selectFrom('agent_workloads')
    .selectAll()
    .where('agent_id', '=', agentId)
    .orderBy('created_at')
    .limit(WORKLOADS_PER_AGENT_MAX)
    .execute();
}

function checkSubject(platform: WorkloadIssuer, subject: string): Result<string, Refusal> {
  const checked = checkSubjectPattern(subject);
  if (!checked.ok || platform.kind !== 'spiffe' || subject.startsWith(`${platform.issuer}/`)) return checked;
  return refused(refusal('request_invalid', `A workload of ${platform.issuer} begins with ${platform.issuer}/.`));
}

function checkPinnedClaims(claims: Readonly<Record<string, string>>): Result<true, Refusal> {
  const entries = Object.entries(claims);
  if (entries.length > WORKLOAD_CLAIMS_MAX) {
    return refused(refusal('request_invalid', `At most ${WORKLOAD_CLAIMS_MAX} claims can be pinned.`));
  }
  for (const [name, value] of entries) {
    const lengths = [name.length, value.length];
    if (lengths.some((length) => length === 0 || length > WORKLOAD_CLAIM_CHARACTERS_MAX)) {
      return refused(refusal('request_invalid', 'The name and the value of a pinned claim must not be empty.'));
    }
    if (OWN_CHECKS.has(name)) {
      return refused(refusal('request_invalid', `"${name}" is checked in any case. Pin other claims.`));
    }
    if (value.includes('*')) {
      return refused(refusal('request_invalid', `The value of "${name}" is compared exactly: leave out the "*".`));
    }
  }
  return accepted(true);
}

async function lockWorkloadAgent(
  tx: Tx,
  input: { readonly agentId: string; readonly by: Acting },
): Promise<Result<Agent, Refusal>> {
  const locked = await lockToGovern(tx, input);
  if (!locked.ok) return locked;
  const { agent } = locked.value;
  if (agent.kind === 'service') return refuseUnlessGoverned(agent);
  return refused(refusal('conflict', 'This agent works for one person and is no workload of a platform.'));
}

async function checkRoom(tx: Tx, { agentId, issuer, subject }: AddWorkload): Promise<Result<true, Refusal>> {
  const { of_agent, of_issuer, is_known } = await tx
    .selectFrom('agent_workloads')
    .select([
      sql<number>`count(*) filter (where agent_id = ${agentId})::int`.as('of_agent'),
      sql<number>`count(*) filter (where issuer = ${issuer})::int`.as('of_issuer'),
      sql<boolean>`coalesce(bool_or(agent_id = ${agentId} and issuer = ${issuer} and subject = ${subject}), false)`.as(
        'is_known',
      ),
    ])
    .executeTakeFirstOrThrow();
  if (is_known) return refused(refusal('conflict', 'The agent has this workload already. Remove it first.'));
  if (of_agent >= WORKLOADS_PER_AGENT_MAX) {
    return refused(refusal('request_invalid', `An agent can have ${WORKLOADS_PER_AGENT_MAX} workloads.`));
  }
  return of_issuer < WORKLOADS_PER_ISSUER_MAX
    ? accepted(true)
    : refused(refusal('request_invalid', `An issuer can have ${WORKLOADS_PER_ISSUER_MAX} workloads.`));
}
