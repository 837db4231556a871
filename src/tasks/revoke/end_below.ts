import { sql } from 'kysely';
import { enqueueOffboarding } from '../../approvals/outbox.ts';
import { withdrawBelow } from '../../approvals/withdraw.ts';
import { append } from '../../events/append.ts';
import { appendAll } from '../../events/append_all.ts';
import type { NewEvent } from '../../events/event_body.ts';
import { type Acting, actingIds } from '../../model/acting.ts';
import { revokeGrantsWith } from '../../store/postgres/artifacts.ts';
import type { AfterCommit, Store, Tx } from '../../store/store.ts';
import { REVOKED_TOGETHER_MAX } from '../limits.ts';
import type { Ended } from './ended.ts';
import { type Ancestor, findBelow } from './find_below.ts';

/** A transaction that revokes, and for whom. */
export interface Revoking {
  readonly store: Store;
  readonly tx: Tx;
  readonly afterCommit: AfterCommit;
  readonly by: Acting;
}

export interface EndBelow {
  readonly ancestor: Ancestor;
  /** The id of what was ended, which the events of everything below it name. */
  readonly endedWith: string;
  /** What people read on requests that are withdrawn. */
  readonly reason: string;
  /** What the person who ends it says on why. */
  readonly said?: string | null;
  /** The task that is ended itself, if it is one; those below are cancelled. */
  readonly task?: { readonly id: string; readonly how: 'completed' | 'cancelled' };
}

/**
 * Ends everything below an ancestor that the caller holds FOR UPDATE: tasks, delegations, undecided step-ups, unused
 * grants and refresh families, by few statements however many there are. Rows are locked by id within each
 * kind, and the kinds in the one order (design §4), so that revocations that meet wait for each other.
 */
export async function endBelow(revoking: Revoking, end: EndBelow): Promise<Ended> {
  const { store, tx, afterCommit } = revoking;
  const { tasks, delegations, delegationIds } = await endTasksBelow(revoking, end);
  const { reason } = end;
  return { tasks, delegations, ...(await withdrawBelow(store, tx, afterCommit, { delegationIds, reason })) };
}

/** The tasks and delegations only. Step-ups and grants come after all of them in the order of locks: they are the caller's. */
export async function endTasksBelow(
  revoking: Revoking,
  end: Omit<EndBelow, 'reason'>,
): Promise<Pick<Ended, 'tasks' | 'delegations'> & { readonly delegationIds: readonly string[] }> {
  const { tx } = revoking;
  const below = await findBelow(tx, end.ancestor);
  const tasks = await endTasks(tx, below.taskIds, end.task);
  const delegations = await revokeDelegations(tx, below.delegationIds);
  await revokeGrantsWith(
    tx,
    tasks.flatMap((task) => task.oauth_grant_id ?? []),
  );
  const ended = new Set(tasks.map(({ id }) => id));
  // A task's end says all about what happened within it: guards refuse everything that names the task.
  const alone = delegations.filter((delegation) => !ended.has(delegation.task_id));
  const by = actingIds(revoking.by);
  const events: NewEvent[] = [
    ...tasks.map(({ id, state, root_id }) => ({
      kind: 'task.ended' as const,
      ids: { task: id, how: state, ...by, ...(id === end.endedWith ? {} : { root: root_id }) },
    })),
    ...alone.map(({ id, task_id, agent_id }) => ({
      kind: 'delegation.revoked' as const,
      ids: { delegation: id, task: task_id, agent: agent_id, ...by },
    })),
  ];
  await recordEnds(revoking, end, events);
  const subjectIds = tasks.map(({ id }) => id);
  await enqueueOffboarding(revoking.store, tx, revoking.afterCommit, { kind: 'task.ended', subjectIds });
  return {
    tasks: tasks.length,
    delegations: delegations.filter(({ kind }) => kind === 'exchange').length,
    delegationIds: below.delegationIds,
  };
}

/** What was ended itself may have been given a reason; what ended below it names it. */
async function recordEnds(
  revoking: Revoking,
  end: Omit<EndBelow, 'reason'>,
  events: readonly NewEvent[],
): Promise<void> {
  const { store, tx, afterCommit } = revoking;
  const isItself = ({ ids }: NewEvent) => (ids.delegation ?? ids.task) === end.endedWith;
  const personal = end.said ? { personal: { reason: end.said } } : {};
  for (const event of events.filter(isItself)) await append(store, tx, afterCommit, { ...event, ...personal });
  const below = events.filter((event) => !isItself(event));
  await appendAll(
    store,
    tx,
    afterCommit,
    below.map(({ kind, ids }) => ({ kind, ids: { ...ids, with: end.endedWith } })),
  );
}

interface EndedTask {
  readonly id: string;
  readonly state: 'completed' | 'cancelled';
  readonly root_id: string;
  readonly oauth_grant_id: string | null;
}

async function endTasks(tx: Tx, found: readonly string[], named: EndBelow['task']): Promise<EndedTask[]> {
  // A task that is over, but was not ended yet, is not found among the living; ending it says so all the same.
  const ids = named === undefined ? found : [...new Set([...found, named.id])];
  if (ids.length === 0) return [];
  const { rows } = await sql<EndedTask>`with locked as materialized (
      select id from tasks where id = any(${ids}::text[]) and state = 'active' order by id for update
    )
    update tasks set ended_at = clock_timestamp(),
      state = case when tasks.id = ${named?.id ?? null} then ${named?.how ?? null} else 'cancelled' end
    from locked where tasks.id = locked.id
    returning tasks.id, tasks.state, tasks.root_id, tasks.oauth_grant_id`.execute(tx);
  return rows;
}

interface RevokedDelegation {
  readonly id: string;
  readonly task_id: string;
  readonly agent_id: string;
  readonly kind: 'root' | 'exchange';
}

// In order and a part at a time: an agent may have so many that one statement would run out of its time, and be unstoppable.
async function revokeDelegations(tx: Tx, ids: readonly string[]): Promise<RevokedDelegation[]> {
  const revoked: RevokedDelegation[] = [];
  for (let from = 0; from < ids.length; from += REVOKED_TOGETHER_MAX) {
    revoked.push(...(await revokePart(tx, ids.slice(from, from + REVOKED_TOGETHER_MAX))));
  }
  return revoked;
}

async function revokePart(tx: Tx, ids: readonly string[]): Promise<RevokedDelegation[]> {
  const { rows } = await sql<RevokedDelegation>`with locked as materialized (
      select id from delegations where id = any(${ids}::text[]) and revoked_at is null order by id for update
    )
    update delegations set revoked_at = clock_timestamp()
    from locked where delegations.id = locked.id
    returning delegations.id, delegations.task_id, delegations.agent_id, delegations.kind`.execute(tx);
  return rows;
}
