import { sql } from 'kysely';
import { append } from '../../events/append.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { assureDurable } from '../../store/postgres/assure_durable.ts';
import type { Store } from '../../store/store.ts';
import { transactRepeatably } from '../../store/transact.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';

/**
 * An administrator, other than whoever answers for the proposal or for the agent, lets the agent start such tasks. In
 * single-operator mode one person may do both. Approved again by the same person, nothing changes.
 */
export async function approveTemplate(
  store: Store,
  input: { readonly templateId: string; readonly personId: string },
): Promise<Result<true, Refusal>> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const person = await tx
      .selectFrom('people')
      .select(['id', 'is_administrator'])
      .where('id', '=', input.personId)
      .where('state', '=', 'active')
      .forShare()
      .executeTakeFirst();
    if (person?.is_administrator !== true) {
      return refused(refusal('not_allowed', 'Only an administrator can approve a template for tasks.'));
    }
    const row = await tx
      .selectFrom('task_templates as t')
      .innerJoin('agents as a', 'a.id', 't.agent_id')
      .select(['t.id', 't.state', 't.agent_id', 't.proposed_by', 't.approved_by', 'a.owner_id', 'a.deputy_id'])
      .where('t.id', '=', input.templateId)
      .forUpdate('t')
      .executeTakeFirst();
    if (row === undefined) return refused(refusal('not_found', 'There is no such template.'));
    if (row.state === 'active' && row.approved_by === person.id) {
      await assureDurable(tx);
      return accepted(true);
    }
    if (row.state !== 'pending') return refused(refusal('conflict', `The template is ${row.state} already.`));
    const involved = [row.proposed_by, row.owner_id, row.deputy_id].includes(person.id);
    if (involved && !store.rules.singleOperator) {
      const words =
        'Whoever proposed a template, or answers for its agent, cannot approve it. Ask another administrator.';
      return refused(refusal('not_allowed', words));
    }
    await tx
      .updateTable('task_templates')
      .set({ state: 'active', approved_by: person.id, approved_at: sql<Date>`clock_timestamp()` })
      .where('id', '=', row.id)
      .execute();
    await append(store, tx, afterCommit, {
      kind: 'task_template.approved',
      ids: { template: row.id, agent: row.agent_id, by: person.id },
    });
    return accepted(true);
  });
}
