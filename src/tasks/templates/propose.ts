import { sql } from 'kysely';
import { append } from '../../events/append.ts';
import { newId } from '../../kernel/ids.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { type Acting, actingIds } from '../../model/acting.ts';
import type { BudgetLine } from '../../model/budget.ts';
import type { ToolSelection } from '../../store/postgres/tables.ts';
import type { Store, Tx } from '../../store/store.ts';
import { transactRepeatably } from '../../store/transact.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { checkTools } from '../admit_task.ts';
import { PURPOSE_LENGTH_MAX, TASK_SECONDS_MIN, TEMPLATES_PER_AGENT_MAX } from '../limits.ts';

export interface ProposeTemplate {
  readonly agentId: string;
  /** Of the agent, by which it starts such tasks. */
  readonly name: string;
  readonly purpose: string;
  readonly purposeCode: string;
  readonly tools: ToolSelection;
  readonly budget: readonly BudgetLine[];
  readonly seconds: number;
  /** Seconds until no task is started from it any more; null for no end. */
  readonly endsAfterSeconds: number | null;
  readonly by: Acting;
}

/**
 * Proposes a template for tasks of a service agent. Its tasks are for the owner of the agent, and it may have no tool the
 * agent may not be given. Until another person approves it, nothing is started from it.
 */
export async function proposeTemplate(
  store: Store,
  input: ProposeTemplate,
): Promise<Result<{ templateId: string }, Refusal>> {
  const purpose = input.purpose.trim();
  const written = checkWritten(store, input, purpose);
  if (!written.ok) return written;
  return transactRepeatably(store, async (tx, afterCommit) => {
    const agent = await tx
      .selectFrom('agents')
      .select(['id', 'kind', 'state', 'owner_id', 'bound'])
      .where('id', '=', input.agentId)
      .forShare()
      .executeTakeFirst();
    if (agent === undefined || agent.kind !== 'service') {
      return refused(
        refusal('request_invalid', 'Templates are for registered service agents. There is no such agent.'),
      );
    }
    if (agent.state !== 'active') return refused(refusal('agent_inactive', `The agent is ${agent.state}.`));
    const tools = await checkTools(tx, input.tools, agent.bound);
    if (!tools.ok) return tools;
    const room = await checkRoom(tx, input);
    if (!room.ok) return room;
    const id = newId('tpl');
    const proposedBy = await answersFor(tx, input.by, agent.owner_id);
    const row = await tx
      .insertInto('task_templates')
      .values({
        id,
        name: input.name,
        agent_id: agent.id,
        requester_id: agent.owner_id,
        purpose,
        purpose_code: input.purposeCode,
        tools: JSON.stringify(input.tools),
        budget: input.budget.length === 0 ? null : JSON.stringify(input.budget),
        seconds: input.seconds,
        state: 'pending',
        proposed_by: proposedBy,
        approved_by: null,
        approved_at: null,
        ends_at: sql<Date | null>`clock_timestamp() + make_interval(secs => ${input.endsAfterSeconds})`,
      })
      .onConflict((conflict) => conflict.columns(['agent_id', 'name']).where('state', '<>', 'retired').doNothing())
      .returning('id')
      .executeTakeFirst();
    if (row === undefined) {
      return refused(
        refusal('conflict', `This agent has a template "${input.name}" already. Retire it, or take another name.`),
      );
    }
    await append(store, tx, afterCommit, {
      kind: 'task_template.proposed',
      ids: { template: id, agent: agent.id, requester: agent.owner_id, ...actingIds(input.by) },
      personal: { name: input.name, purpose },
    });
    return accepted({ templateId: id });
  });
}

function checkWritten(store: Store, input: ProposeTemplate, purpose: string): Result<true, Refusal> {
  const { taskSecondsMax } = store.rules;
  if (!/^[a-z0-9][a-z0-9_-]{0,62}$/.test(input.name)) {
    return refused(refusal('request_invalid', 'Name it with 1 to 63 of a-z, 0-9, "_" and "-".'));
  }
  if (purpose === '' || purpose.length > PURPOSE_LENGTH_MAX) {
    return refused(refusal('request_invalid', `Say what its tasks are for in 1 to ${PURPOSE_LENGTH_MAX} characters.`));
  }
  if (!Number.isInteger(input.seconds) || input.seconds < TASK_SECONDS_MIN || input.seconds > taskSecondsMax) {
    return refused(refusal('request_invalid', `A task may last ${TASK_SECONDS_MIN} to ${taskSecondsMax} seconds.`));
  }
  return accepted(true);
}

/** Who must not approve it: whoever made the token, or owns the agent, that proposes it. */
async function answersFor(tx: Tx, by: Acting, ownerId: string): Promise<string | null> {
  if (by.kind === 'person') return by.id;
  if (by.kind === 'agent') return ownerId;
  const token = await tx.selectFrom('api_tokens').select('created_by').where('id', '=', by.id).executeTakeFirst();
  return token?.created_by ?? null;
}

async function checkRoom(tx: Tx, { agentId }: ProposeTemplate): Promise<Result<true, Refusal>> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`task-template:${agentId}`}, 0))`.execute(tx);
  const { count } = await tx
    .selectFrom('task_templates')
    .select(tx.fn.countAll<number>().as('count'))
    .where('agent_id', '=', agentId)
    .where('state', '<>', 'retired')
    .executeTakeFirstOrThrow();
  return count < TEMPLATES_PER_AGENT_MAX
    ? accepted(true)
    : refused(refusal('rate_limited', `This agent has ${count} templates. Retire some of them first.`));
}
