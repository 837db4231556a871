import { sql } from 'kysely';
import type { JsonObject } from '../../kernel/json.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { ToolSelection } from '../../store/postgres/tables.ts';
import type { Store, Tx } from '../../store/store.ts';
import { transactRepeatably } from '../../store/transact.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { TRACE_DELEGATIONS_MAX, TRACE_TASKS_MAX } from './limits.ts';
import { readEvents } from './read_events.ts';
import type { TaskTrace, TracedDelegation, TracedEvent, TracedTask } from './trace.ts';

/** Who asks: a person sees tasks they have a part in, an agent its own, not those it was handed work of; a machine that administers all. */
export type TraceReader =
  | { readonly kind: 'person'; readonly id: string }
  | { readonly kind: 'agent'; readonly id: string }
  | { readonly kind: 'api_token' };

export interface ReadTrace {
  readonly taskId: string;
  readonly reader: TraceReader;
  /** Go on after this event: `next` of the page before. */
  readonly after?: number;
}

/** The delegation tree of a task with its sub-tasks, and what happened in it. Refused as `not_found` to whoever has no part in it. */
export async function readTrace(store: Store, input: ReadTrace): Promise<Result<TaskTrace, Refusal>> {
  return transactRepeatably(store, async (tx) => {
    const delegations = await readDelegations(tx, input.taskId);
    const taskIds = [...new Set([input.taskId, ...delegations.map((one) => one.taskId)])].slice(0, TRACE_TASKS_MAX);
    const tasks = await readTasks(tx, taskIds);
    const task = tasks.find((one) => one.id === input.taskId);
    const requester = await readRequester(tx, input.taskId);
    if (
      task === undefined ||
      requester === undefined ||
      !(await mayRead(tx, input.reader, { task, delegations, requesterId: requester.id }))
    ) {
      return refused(unknownTask());
    }
    const { events, next } = await readEvents(tx, taskIds, input.after ?? 0);
    const names = await readNames(tx, events);
    return accepted({ taskId: input.taskId, requester, tasks, delegations, events, names, next });
  });
}

function unknownTask(): Refusal {
  return refusal('not_found', 'There is no such task, or you have no part in it.');
}

/** Of the task, and of everything whose chain goes through it. */
async function readDelegations(tx: Tx, taskId: string): Promise<TracedDelegation[]> {
  const rows = await tx
    .selectFrom('delegations as d')
    .innerJoin('agents as a', 'a.id', 'd.agent_id')
    .innerJoin('people as o', 'o.id', 'a.owner_id')
    .select(['d.id', 'd.task_id', 'd.parent_id', 'd.kind', 'd.depth', 'd.tools', 'd.constraints', 'd.created_at'])
    .select(['d.expires_at', 'd.revoked_at', 'a.id as agent_id', 'a.name as agent_name'])
    .select(['o.id as owner_id', 'o.display_name as owner_name'])
    .where((or) => or.or([or('d.task_id', '=', taskId), sql<boolean>`d.task_chain @> array[${taskId}]::text[]`]))
    .orderBy('d.created_at')
    .orderBy('d.depth')
    .limit(TRACE_DELEGATIONS_MAX)
    .execute();
  return rows.map((row) => ({
    id: row.id,
    taskId: row.task_id,
    parentId: row.parent_id,
    kind: row.kind,
    agent: { id: row.agent_id, name: row.agent_name },
    owner: { id: row.owner_id, name: row.owner_name },
    depth: row.depth,
    tools: row.tools,
    constraints: (row.constraints ?? []) as readonly JsonObject[],
    madeAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
  }));
}

async function readTasks(tx: Tx, ids: readonly string[]): Promise<TracedTask[]> {
  const rows = await tx
    .selectFrom('tasks as t')
    .select([
      't.id',
      't.parent_id',
      't.agent_id',
      't.purpose',
      't.purpose_code',
      't.origin',
      't.traceparent',
      't.tools',
    ])
    .select(['t.state', 't.created_at', 't.expires_at', 't.ended_at'])
    .select(sql<boolean>`t.expires_at > clock_timestamp()`.as('is_running'))
    .select(
      sql<TracedTask['budget']>`(select coalesce(jsonb_agg(jsonb_build_object('what', b.what, 'used', b.used::text,
        'maximum', b.maximum::text) order by b.what), '[]') from task_budgets b where b.task_id = t.id)`.as('budget'),
    )
    .where('t.id', 'in', [...ids])
    .orderBy('t.created_at')
    .execute();
  return rows.map((row) => ({
    id: row.id,
    parentId: row.parent_id,
    agentId: row.agent_id,
    purpose: row.purpose,
    purposeCode: row.purpose_code,
    state: row.state === 'active' && !row.is_running ? ('expired' as const) : row.state,
    origin: row.origin,
    traceparent: row.traceparent,
    tools: row.tools as ToolSelection,
    budget: row.budget,
    startedAt: row.created_at,
    expiresAt: row.expires_at,
    endedAt: row.ended_at,
  }));
}

async function readRequester(tx: Tx, taskId: string): Promise<TaskTrace['requester'] | undefined> {
  return tx
    .selectFrom('tasks')
    .innerJoin('people', 'people.id', 'tasks.requester_id')
    .select(['people.id', 'people.display_name as name'])
    .where('tasks.id', '=', taskId)
    .executeTakeFirst();
}

async function mayRead(
  tx: Tx,
  reader: TraceReader,
  of: { readonly task: TracedTask; readonly delegations: readonly TracedDelegation[]; readonly requesterId: string },
): Promise<boolean> {
  if (reader.kind === 'api_token') return true;
  if (reader.kind === 'agent') return of.task.agentId === reader.id;
  const agentIds = [...new Set(of.delegations.map((one) => one.agent.id))];
  const { rows } = await sql<{ may: boolean }>`select p.is_administrator or p.id = ${of.requesterId} or exists (
      select 1 from agents a where a.id = any(${agentIds}::text[]) and p.id in (a.owner_id, a.deputy_id)) as may
    from people p where p.id = ${reader.id} and p.state = 'active'`.execute(tx);
  return rows[0]?.may === true;
}

const NAMED = {
  people: ['requester', 'person', 'owner', 'by'],
  agents: ['agent', 'by', 'from_agent', 'to_agent'],
  tool_servers: ['tool_server'],
  api_tokens: ['by'],
} as const;

async function readNames(tx: Tx, events: readonly TracedEvent[]): Promise<Record<string, string>> {
  const idsOf = (members: readonly string[]) => [
    ...new Set(
      events.flatMap(({ ids }) => members.map((member) => ids[member]).filter((id) => typeof id === 'string')),
    ),
  ];
  const { rows } = await sql<{ id: string; name: string }>`
    select id, display_name as name from people where id = any(${idsOf(NAMED.people)}::text[])
    union all select id, name from agents where id = any(${idsOf(NAMED.agents)}::text[])
    union all select id, name from tool_servers where id = any(${idsOf(NAMED.tool_servers)}::text[])
    union all select id, name from api_tokens where id = any(${idsOf(NAMED.api_tokens)}::text[])`.execute(tx);
  return Object.fromEntries(rows.map(({ id, name }) => [id, name]));
}
