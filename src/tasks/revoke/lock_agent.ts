import type { Selectable } from 'kysely';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { Acting } from '../../model/acting.ts';
import type { AgentsTable } from '../../store/postgres/tables.ts';
import type { Tx } from '../../store/store.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';

export interface LockedAgent {
  readonly agent: Selectable<AgentsTable>;
  readonly isOwnerActive: boolean;
  /** Whether whoever asks administers the server, by a person's right or a machine's scope; the server itself does. */
  readonly isAdministrator: boolean;
  /** Whether whoever asks answers for the agent. */
  readonly isAccountable: boolean;
}

/**
 * Locks an agent FOR UPDATE, and before it the people who answer for it and the one who asks: from here on nothing is made,
 * decided or redeemed below the agent until the transaction ends.
 */
export async function lockAgent(tx: Tx, agentId: string, by: Acting): Promise<Result<LockedAgent, Refusal>> {
  const known = await tx
    .selectFrom('agents')
    .select(['owner_id', 'deputy_id'])
    .where('id', '=', agentId)
    .executeTakeFirst();
  if (known === undefined) return refused(refusal('not_found', 'There is no such agent.'));
  const named = [known.owner_id, known.deputy_id, by.kind === 'person' ? by.id : null].filter((id) => id !== null);
  const people = await tx
    .selectFrom('people')
    .select(['id', 'state', 'is_administrator'])
    .where('id', 'in', named)
    .orderBy('id')
    .forShare()
    .execute();
  const agent = await tx
    .selectFrom('agents')
    .selectAll()
    .where('id', '=', agentId)
    .forUpdate()
    .executeTakeFirstOrThrow();
  if (agent.owner_id !== known.owner_id || agent.deputy_id !== known.deputy_id) {
    return refused(refusal('conflict', 'The agent got another owner or deputy in this moment. Try again.'));
  }
  const active = people.filter(({ state }) => state === 'active');
  const person = by.kind === 'person' ? active.find(({ id }) => id === by.id) : undefined;
  return accepted({
    agent,
    isOwnerActive: active.some(({ id }) => id === agent.owner_id),
    isAdministrator: by.kind === 'api_token' || by.kind === 'server' || person?.is_administrator === true,
    isAccountable: person !== undefined && [agent.owner_id, agent.deputy_id].includes(person.id),
  });
}

/** Administrators and whoever answers for an agent may stop it; agents stop nobody. */
export function mayStop({ isAdministrator, isAccountable }: LockedAgent): Result<true, Refusal> {
  return isAdministrator || isAccountable
    ? accepted(true)
    : refused(
        refusal(
          'not_allowed',
          'Only an administrator, or the owner or deputy of the agent, may stop it. Nothing was changed.',
        ),
      );
}
