import { sql } from 'kysely';
import type { ToolServer } from '../agents/tool_servers.ts';
import { lineageColumns, lineageTables } from '../approvals/lineage.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';
import { ISSUED_TOLERANCE_SECONDS } from '../tasks/limits.ts';
import { narrowest } from '../tasks/narrow.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';

/** What token requests need to know of a tool server. */
export type KnownToolServer = Pick<ToolServer, 'id' | 'resource' | 'state'>;

/** A task, or a hop within one, that may be given tokens at this moment: everything it descends from is alive. */
export interface LiveTask {
  readonly id: string;
  readonly rootId: string;
  readonly delegationId: string;
  /** Whether the delegation begins the task; tokens name it only if it does not. */
  readonly isRoot: boolean;
  readonly agentId: string;
  readonly clientId: string;
  readonly requesterId: string;
  /** Who acts, the first one first, the agent of the token last. */
  readonly actors: readonly { readonly id: string; readonly client_id: string }[];
  /** What is left of the task's tools by the hops and the bounds of the agents. */
  readonly tools: ToolSelection;
  /** Scopes that the agents of the chain may have; null where nobody bounds them. */
  readonly scopes: readonly string[] | null;
  /** One of the agents has tokens bound to keys only. */
  readonly isDpopRequired: boolean;
  /** When one of the agents was suspended last, though all are active again; null if none ever was. */
  readonly suspendedAt: Date | null;
  /** Whole seconds until it ends, at least 1. */
  readonly secondsLeft: number;
  /** When it was alive, by the clock of PostgreSQL. */
  readonly readAt: Date;
  /** The tool server of the resource that was asked for beside it, if there is one. */
  readonly toolServer: KnownToolServer | undefined;
}

/** The task of a refresh family. */
export function findLiveTaskByGrant(store: Store, oauthGrantId: string): Promise<Result<LiveTask, Refusal>> {
  return findLiveTask(store, sql`t.oauth_grant_id = ${oauthGrantId} and d.kind = 'root'`);
}

/** With the tool server of a canonical resource, which nearly every token request asks for next. */
export function findLiveTaskById(store: Store, taskId: string, resource?: string): Promise<Result<LiveTask, Refusal>> {
  return findLiveTask(store, sql`d.task_id = ${taskId} and d.kind = 'root'`, resource);
}

/** A hop, or the beginning of a task. */
export function findLiveDelegation(
  store: Pick<Store, 'db'>,
  delegationId: string,
  resource?: string,
): Promise<Result<LiveTask, Refusal>> {
  return findLiveTask(store, sql`d.id = ${delegationId}`, resource);
}

/** Whether a code or token was issued before an agent of the task was suspended, or may have been (`isOfBefore`). */
export function isOfBeforeSuspension({ suspendedAt }: Pick<LiveTask, 'suspendedAt'>, iat: number): boolean {
  return suspendedAt !== null && iat <= suspendedAt.getTime() / 1000 + ISSUED_TOLERANCE_SECONDS;
}

interface Row {
  readonly task_id: string;
  readonly root_id: string;
  readonly delegation_id: string;
  readonly kind: 'root' | 'exchange';
  readonly agent_id: string;
  readonly requester_id: string;
  readonly actors: readonly { readonly id: string; readonly client_id: string }[];
  readonly tools: ToolSelection;
  readonly delegated_tools: ToolSelection | null;
  readonly bounds: readonly (ToolSelection | null)[];
  readonly scopes: readonly (readonly string[] | null)[];
  readonly is_dpop_required: boolean;
  readonly suspended_at: Date | null;
  readonly is_running: boolean;
  readonly agents_alive: boolean;
  readonly people_active: boolean;
  readonly seconds_left: number;
  readonly read_at: Date;
  readonly server_id: string | null;
  readonly server_resource: string | null;
  readonly server_state: KnownToolServer['state'] | null;
}

async function findLiveTask(
  { db }: Pick<Store, 'db'>,
  condition: ReturnType<typeof sql>,
  resource = '',
): Promise<Result<LiveTask, Refusal>> {
  const { rows } = await sql<Row>`select t.id as task_id, t.root_id, t.requester_id, t.tools,
      d.id as delegation_id, d.kind, d.agent_id, d.tools as delegated_tools, ${lineageColumns},
      chain.actors, chain.bounds, chain.scopes, chain.is_dpop_required, chain.suspended_at, chain.agents_alive,
      r.state = 'active' and chain.owners_active as people_active,
      span.is_running and hops.is_live as is_running,
      floor(extract(epoch from least(span.ends_at, hops.ends_at, chain.ends_at) - clock_timestamp()))::int as seconds_left,
      clock_timestamp() as read_at,
      v.id as server_id, v.resource as server_resource, v.state as server_state
    from ${lineageTables}
    join people r on r.id = t.requester_id
    cross join lateral (select
        jsonb_agg(jsonb_build_object('id', a.id, 'client_id', a.client_id) order by array_position(c.agent_ids, a.id)) as actors,
        jsonb_agg(a.bound) as bounds, jsonb_agg(a.scopes) as scopes, bool_or(a.dpop_required) as is_dpop_required,
        max(a.suspended_at) as suspended_at,
        bool_and(a.state = 'active' and coalesce(a.ends_at > clock_timestamp(), true)) as agents_alive,
        bool_and(p.state = 'active') as owners_active, min(a.ends_at) as ends_at
      from agents a join people p on p.id = a.owner_id where a.id = any(c.agent_ids)) chain
    cross join lateral (select bool_and(x.state = 'active' and x.expires_at > clock_timestamp()) as is_running,
        min(x.expires_at) as ends_at
      from tasks x where x.id = any(c.task_ids)) span
    cross join lateral (select
        bool_and(x.revoked_at is null and coalesce(x.expires_at > clock_timestamp(), true)) as is_live,
        min(x.expires_at) as ends_at
      from delegations x where x.id = any(c.delegation_ids)) hops
    left join tool_servers v on v.resource = ${resource}
    where ${condition}
    limit 1`.execute(db);
  const row = rows[0];
  if (row === undefined) return refused(refusal('task_invalid', 'There is no such task.'));
  const alive = checkAlive(row);
  return alive.ok ? accepted(liveTask(row)) : alive;
}

function checkAlive(row: Row): Result<true, Refusal> {
  if (!row.is_running || row.seconds_left < 1) return refused(refusal('task_ended', 'The task has ended.'));
  if (!row.agents_alive) return refused(refusal('agent_inactive', 'The agent of this task is not active.'));
  return row.people_active
    ? accepted(true)
    : refused(refusal('person_inactive', 'The person this task is for, or an owner of its agents, is not active.'));
}

function liveTask(row: Row): LiveTask {
  const bounds = row.scopes.filter((scopes) => scopes !== null);
  return {
    id: row.task_id,
    rootId: row.root_id,
    delegationId: row.delegation_id,
    isRoot: row.kind === 'root',
    agentId: row.agent_id,
    clientId: row.actors.at(-1)!.client_id,
    requesterId: row.requester_id,
    actors: row.actors,
    tools: narrowest(row.tools, [row.delegated_tools, ...row.bounds]),
    scopes: bounds.length === 0 ? null : bounds.reduce((left, bound) => left.filter((scope) => bound.includes(scope))),
    isDpopRequired: row.is_dpop_required,
    suspendedAt: row.suspended_at,
    secondsLeft: row.seconds_left,
    readAt: row.read_at,
    toolServer:
      row.server_id === null || row.server_resource === null || row.server_state === null
        ? undefined
        : { id: row.server_id, resource: row.server_resource, state: row.server_state },
  };
}
