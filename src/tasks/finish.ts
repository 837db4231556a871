import { sql } from 'kysely';
import { withdrawForTask } from '../approvals/withdraw.ts';
import { append } from '../events/append.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { assureDurable } from '../store/postgres/assure_durable.ts';
import type { Store } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';

export type EndedBy = { readonly personId: string } | { readonly agentId: string };

/**
 * Ends a task: its tokens stop working with the next call, its undecided step-ups are withdrawn and its unused grants
 * revoked, all in one transaction. Its requester, its agent's owner, its own agent and administrators may. Ending an
 * ended task is accepted and changes nothing.
 */
export async function endTask(
  store: Store,
  input: { readonly taskId: string; readonly how: 'completed' | 'cancelled'; readonly by: EndedBy },
): Promise<
  Result<{ taskId: string; oauthGrantId: string | null; state: 'completed' | 'cancelled' | 'expired' }, Refusal>
> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const task = await tx.selectFrom('tasks').selectAll().where('id', '=', input.taskId).forUpdate().executeTakeFirst();
    const missing = refused(refusal('not_found', 'There is no such task, or you have no part in it.'));
    if (task === undefined) return missing;
    if ('agentId' in input.by) {
      if (task.agent_id !== input.by.agentId) return missing;
    } else {
      const person = await tx
        .selectFrom('people')
        .innerJoin('agents', (join) => join.on('agents.id', '=', task.agent_id))
        .select(['people.id', 'people.is_administrator', 'agents.owner_id'])
        .where('people.id', '=', input.by.personId)
        .where('people.state', '=', 'active')
        .executeTakeFirst();
      const mayEnd =
        person !== undefined && (person.is_administrator || [task.requester_id, person.owner_id].includes(person.id));
      if (!mayEnd) return missing;
    }
    const ended = { taskId: task.id, oauthGrantId: task.oauth_grant_id };
    if (task.state !== 'active') {
      await assureDurable(tx);
      return accepted({ ...ended, state: task.state });
    }
    await tx
      .updateTable('tasks')
      .set({ state: input.how, ended_at: sql<Date>`clock_timestamp()` })
      .where('id', '=', task.id)
      .execute();
    await withdrawForTask(store, tx, afterCommit, task.id);
    await append(store, tx, afterCommit, {
      kind: 'task.ended',
      ids: {
        task: task.id,
        how: input.how,
        by: 'agentId' in input.by ? input.by.agentId : input.by.personId,
      },
    });
    return accepted({ ...ended, state: input.how });
  });
}
