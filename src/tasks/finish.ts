import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Acting } from '../model/acting.ts';
import { assureDurable } from '../store/postgres/assure_durable.ts';
import type { Store, Tx } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { endBelow } from './revoke/end_below.ts';
import { type Ended, NOTHING_ENDED } from './revoke/ended.ts';
import { lockTask, type TaskRow } from './revoke/lock_task.ts';
import { transactRevocation } from './revoke/transact_revocation.ts';

export type EndedBy = { readonly personId: string } | { readonly agentId: string } | Acting;

export interface EndedTask {
  readonly taskId: string;
  readonly oauthGrantId: string | null;
  readonly state: Exclude<TaskRow['state'], 'active'>;
  /** What ended with it. */
  readonly ended: Ended;
}

/**
 * Ends a task and everything below it: tokens stop working with the next call, sub-tasks and delegations end, undecided
 * step-ups are withdrawn and unused grants revoked, all in one transaction. Its requester, whoever answers for its agent,
 * its own agent and administrators may. Ending an ended task is accepted and changes nothing.
 */
export async function endTask(
  store: Store,
  input: { readonly taskId: string; readonly how: 'completed' | 'cancelled'; readonly by: EndedBy },
): Promise<Result<EndedTask, Refusal>> {
  return transactRevocation(store, async (tx, afterCommit) => {
    const by = actingOf(input.by);
    const task = await lockTask(tx, input.taskId);
    if (task === undefined || !(await mayEnd(tx, task, by))) {
      return refused(refusal('not_found', 'There is no such task, or you have no part in it.'));
    }
    const { id: taskId, oauth_grant_id: oauthGrantId } = task;
    if (task.state !== 'active') {
      await assureDurable(tx);
      return accepted({ taskId, oauthGrantId, state: task.state, ended: NOTHING_ENDED });
    }
    const ended = await endBelow(
      { store, tx, afterCommit, by },
      {
        ancestor: { taskId },
        endedWith: taskId,
        reason: 'The task has ended.',
        task: { id: taskId, how: input.how },
      },
    );
    return accepted({ taskId, oauthGrantId, state: input.how, ended });
  });
}

async function mayEnd(tx: Tx, task: TaskRow, by: Acting): Promise<boolean> {
  if (by.kind === 'api_token' || by.kind === 'server') return true;
  if (by.kind === 'agent') return task.agent_id === by.id;
  const person = await tx
    .selectFrom('people')
    .innerJoin('agents', (join) => join.on('agents.id', '=', task.agent_id))
    .select(['people.id', 'people.is_administrator', 'agents.owner_id', 'agents.deputy_id'])
    .where('people.id', '=', by.id)
    .where('people.state', '=', 'active')
    .executeTakeFirst();
  if (person === undefined) return false;
  return person.is_administrator || [task.requester_id, person.owner_id, person.deputy_id].includes(person.id);
}

function actingOf(by: EndedBy): Acting {
  if ('kind' in by) return by;
  return 'agentId' in by ? { kind: 'agent', id: by.agentId } : { kind: 'person', id: by.personId };
}
