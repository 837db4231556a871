import { sql } from 'kysely';
import { enqueueOffboarding } from '../../approvals/outbox.ts';
import { voidVotes } from '../../approvals/void_votes.ts';
import { append } from '../../events/append.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { type Acting, actingIds } from '../../model/acting.ts';
import { assureDurable } from '../../store/postgres/assure_durable.ts';
import type { Store, Tx } from '../../store/store.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { endAccess } from './end_access.ts';
import { endTasksBelow, type Revoking } from './end_below.ts';
import { type Ended, NOTHING_ENDED } from './ended.ts';
import { findBelow } from './find_below.ts';
import { handOver, lockOwnedAgents } from './hand_over.ts';
import { OWNER_DISABLED, readReason } from './reason.ts';
import { markSuspended } from './suspend_agent.ts';
import { transactRevocation } from './transact_revocation.ts';

export interface DisablePerson {
  readonly personId: string;
  readonly by: Acting;
  /** For people to read; may be empty. */
  readonly reason: string;
  /** Their directory deleted them: they do not come back. */
  readonly isDeleted?: boolean;
}

export interface PersonEnded extends Ended {
  readonly agents_suspended: number;
  /** Their deputies own these now. */
  readonly agents_handed_over: number;
}

/**
 * Disables a person, in one transaction: their sessions, links and API tokens end; tasks that run for them are cancelled;
 * agents they own pass to their deputies, or are suspended; their unredeemed approvals are void, and what lacks them is
 * revoked. Passkeys are kept and of no use. Never the last administrator, since then nobody could administer the server but
 * whoever holds its next set-up link. Disabling a disabled person is accepted and changes nothing.
 */
export async function disablePerson(store: Store, input: DisablePerson): Promise<Result<PersonEnded, Refusal>> {
  const reason = readReason(input.reason);
  if (!reason.ok) return reason;
  return transactRevocation(store, async (tx, afterCommit) => {
    const people = await lockPeople(tx, input);
    const isDone = checkMayDisable(people, input);
    if (!isDone.ok) return isDone;
    if (isDone.value) {
      await assureDurable(tx);
      return accepted({ ...NOTHING_ENDED, agents_suspended: 0, agents_handed_over: 0 });
    }
    await markDisabled(tx, input);
    await append(store, tx, afterCommit, {
      kind: input.isDeleted === true ? 'person.deleted' : 'person.disabled',
      ids: { person: input.personId, ...actingIds(input.by) },
      ...(reason.value === null ? {} : { personal: { reason: reason.value } }),
    });
    return accepted(await endAll({ store, tx, afterCommit, by: input.by }, input.personId, people));
  });
}

interface LockedPerson {
  readonly id: string;
  readonly state: 'active' | 'disabled';
  readonly is_administrator: boolean;
  readonly deleted_at: Date | null;
}

/**
 * All at once and by id, as everybody locks people: the administrators, of whom one must be left; the person; who asks; and the
 * deputies who would take over. One who becomes a deputy in this moment is not among them, and takes over nothing.
 */
async function lockPeople(tx: Tx, { personId, by }: DisablePerson): Promise<LockedPerson[]> {
  const { rows } = await sql<LockedPerson>`select id, state, is_administrator, deleted_at from people
    where is_administrator or id in (${personId}, ${by.id})
      or id in (select deputy_id from agents where owner_id = ${personId})
    order by id for no key update`.execute(tx);
  return rows;
}

/** Whether it is done already. */
function checkMayDisable(people: readonly LockedPerson[], input: DisablePerson): Result<boolean, Refusal> {
  const { by, personId } = input;
  const administrators = people.filter((one) => one.is_administrator && one.state === 'active');
  if (by.kind === 'agent' || (by.kind === 'person' && !administrators.some(({ id }) => id === by.id))) {
    return refused(refusal('not_allowed', 'Only an administrator may disable a person. Nothing was changed.'));
  }
  const person = people.find(({ id }) => id === personId);
  if (person === undefined) return refused(refusal('not_found', 'There is no person with this id.'));
  if (person.state === 'disabled') return accepted(input.isDeleted !== true || person.deleted_at !== null);
  if (administrators.length === 1 && administrators[0]!.id === personId) {
    return refused(refusal('conflict', 'This is the last administrator. Make another person an administrator first.'));
  }
  return accepted(false);
}

async function markDisabled(tx: Tx, { personId, isDeleted }: DisablePerson): Promise<void> {
  await tx
    .updateTable('people')
    .set({
      state: 'disabled',
      updated_at: sql<Date>`clock_timestamp()`,
      ...(isDeleted === true ? { deleted_at: sql<Date>`clock_timestamp()` } : {}),
    })
    .where('id', '=', personId)
    .execute();
}

async function endAll(revoking: Revoking, personId: string, people: readonly LockedPerson[]): Promise<PersonEnded> {
  const { store, tx, afterCommit } = revoking;
  const active = new Set(people.filter(({ id, state }) => id !== personId && state === 'active').map(({ id }) => id));
  const owned = await lockOwnedAgents(tx, personId, active);
  await handOver(revoking, owned.handedOver, personId);
  const toSuspend = owned.left.filter(({ state }) => state === 'active').map(({ id }) => id);
  await markSuspended(revoking, toSuspend, OWNER_DISABLED);
  const ended = await endTasksBelow(revoking, { ancestor: { requesterId: personId }, endedWith: personId });
  const paused = await findBelow(tx, { agentIds: toSuspend });
  const withdrawn = await voidVotes(store, tx, afterCommit, {
    personId,
    delegationIds: [...new Set([...ended.delegationIds, ...paused.delegationIds])],
    reason: 'The person this call was made for, or who owns an agent that makes it, was disabled.',
  });
  await endAccess(revoking, personId);
  await enqueueOffboarding(store, tx, afterCommit, { kind: 'person.offboarded', subjectIds: [personId] });
  return {
    tasks: ended.tasks,
    delegations: ended.delegations,
    ...withdrawn,
    agents_suspended: toSuspend.length,
    agents_handed_over: owned.handedOver.length,
  };
}
