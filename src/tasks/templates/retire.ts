import { append } from '../../events/append.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { type Acting, actingIds } from '../../model/acting.ts';
import { assureDurable } from '../../store/postgres/assure_durable.ts';
import type { Store, Tx } from '../../store/store.ts';
import { transactRepeatably } from '../../store/transact.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';

/**
 * No task is started from it any more; those that run go on until they end or are ended. An administrator, whoever answers
 * for the agent, the agent itself and a machine that may write tasks may. Retiring a retired one changes nothing.
 */
export async function retireTemplate(
  store: Store,
  input: { readonly templateId: string; readonly by: Acting },
): Promise<Result<true, Refusal>> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const row = await tx
      .selectFrom('task_templates as t')
      .innerJoin('agents as a', 'a.id', 't.agent_id')
      .select(['t.id', 't.state', 't.agent_id', 'a.owner_id', 'a.deputy_id'])
      .where('t.id', '=', input.templateId)
      .forUpdate('t')
      .executeTakeFirst();
    if (row === undefined || !(await mayRetire(tx, row, input.by))) {
      return refused(refusal('not_found', 'There is no such template, or it is not yours.'));
    }
    if (row.state === 'retired') {
      await assureDurable(tx);
      return accepted(true);
    }
    await tx.updateTable('task_templates').set({ state: 'retired' }).where('id', '=', row.id).execute();
    await append(store, tx, afterCommit, {
      kind: 'task_template.retired',
      ids: { template: row.id, agent: row.agent_id, ...actingIds(input.by) },
    });
    return accepted(true);
  });
}

async function mayRetire(
  tx: Tx,
  row: { readonly agent_id: string; readonly owner_id: string; readonly deputy_id: string | null },
  by: Acting,
): Promise<boolean> {
  if (by.kind === 'agent') return by.id === row.agent_id;
  if (by.kind !== 'person') return true;
  const person = await tx
    .selectFrom('people')
    .select('is_administrator')
    .where('id', '=', by.id)
    .where('state', '=', 'active')
    .executeTakeFirst();
  return person !== undefined && (person.is_administrator || [row.owner_id, row.deputy_id].includes(by.id));
}
