import { sql } from 'kysely';
import { newId } from '../kernel/ids.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Tx } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { Agent } from './agent.ts';
import { type Actor, isActive } from './lock_agent.ts';

export type OwnershipRole = 'owner' | 'deputy';

/** Owner and deputy: two active people. In single-operator mode there may be nobody else. */
export function checkAccountable(
  actor: Actor,
  { ownerId, deputyId }: { readonly ownerId: string; readonly deputyId: string | null },
  mayBeAlone: boolean,
): Result<true, Refusal> {
  if (!actor.people.has(ownerId))
    return refused(refusal('request_invalid', 'There is no person with the id of the owner.'));
  if (!isActive(actor, ownerId)) {
    return refused(refusal('request_invalid', 'The owner was disabled. An agent needs an active person as its owner.'));
  }
  if (deputyId === null) {
    return mayBeAlone
      ? accepted(true)
      : refused(refusal('request_invalid', 'Name a deputy: who answers for the agent when its owner cannot.'));
  }
  if (deputyId === ownerId) {
    return refused(refusal('request_invalid', 'Owner and deputy must be two people.'));
  }
  if (!actor.people.has(deputyId))
    return refused(refusal('request_invalid', 'There is no person with the id of the deputy.'));
  return isActive(actor, deputyId)
    ? accepted(true)
    : refused(refusal('request_invalid', 'The deputy was disabled. Name an active person as the deputy.'));
}

/**
 * Notes since when these people answer for the agent; who answered before did so until now, and may have its keys for longer
 * (invariant 6).
 */
export async function recordOwnership(
  tx: Tx,
  agent: Pick<Agent, 'id' | 'owner_id' | 'deputy_id' | 'created_at'>,
  next: Readonly<Record<OwnershipRole, string | null>>,
): Promise<void> {
  for (const role of ['owner', 'deputy'] as const) {
    const before = role === 'owner' ? agent.owner_id : agent.deputy_id;
    if (before === next[role]) continue;
    if (before !== null) {
      await close(tx, agent, role, before);
      await keepAsKeyHolder(tx, agent.id, before);
    }
    if (next[role] !== null) await open(tx, agent.id, role, next[role]);
  }
}

/** The first who answer for an agent. */
export async function openOwnership(
  tx: Tx,
  agentId: string,
  first: Readonly<Record<OwnershipRole, string | null>>,
): Promise<void> {
  for (const role of ['owner', 'deputy'] as const) {
    if (first[role] !== null) await open(tx, agentId, role, first[role]);
  }
}

async function keepAsKeyHolder(tx: Tx, agentId: string, personId: string): Promise<void> {
  await tx
    .updateTable('agents')
    .set({ key_holder_ids: sql<string[]>`array_append(array_remove(key_holder_ids, ${personId}), ${personId})` })
    .where('id', '=', agentId)
    .execute();
}

async function open(tx: Tx, agentId: string, role: OwnershipRole, personId: string): Promise<void> {
  await tx
    .insertInto('agent_ownerships')
    .values({ id: newId('own'), agent_id: agentId, person_id: personId, role })
    .execute();
}

async function close(
  tx: Tx,
  agent: Pick<Agent, 'id' | 'created_at'>,
  role: OwnershipRole,
  personId: string,
): Promise<void> {
  const closed = await tx
    .updateTable('agent_ownerships')
    .set({ until: sql<Date>`clock_timestamp()` })
    .where('agent_id', '=', agent.id)
    .where('role', '=', role)
    .where('until', 'is', null)
    .returning('id')
    .execute();
  if (closed.length > 0) return;
  // Of a release before 0.2, which kept the present owner only.
  await tx
    .insertInto('agent_ownerships')
    .values({
      id: newId('own'),
      agent_id: agent.id,
      person_id: personId,
      role,
      since: agent.created_at,
      until: sql<Date>`clock_timestamp()`,
    })
    .execute();
}
