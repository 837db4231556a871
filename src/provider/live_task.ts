import { sql } from 'kysely';
import type { ToolServer } from '../agents/tool_servers.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';

/** What token requests need to know of a tool server. */
export type KnownToolServer = Pick<ToolServer, 'id' | 'resource' | 'state'>;

/** A task that may be given tokens at this moment: it runs, and its agent and requester are active. */
export interface LiveTask {
  readonly id: string;
  readonly rootId: string;
  readonly agentId: string;
  readonly clientId: string;
  readonly requesterId: string;
  readonly tools: ToolSelection;
  /** Whole seconds until it ends, at least 1. */
  readonly secondsLeft: number;
  /** When it was alive, by the clock of PostgreSQL. */
  readonly readAt: Date;
  /** The tool server of the resource that was asked for beside it, if there is one. */
  readonly toolServer: KnownToolServer | undefined;
}

/** The task of a refresh family. */
export function findLiveTaskByGrant(store: Store, oauthGrantId: string): Promise<Result<LiveTask, Refusal>> {
  return findLiveTask(store, 'tasks.oauth_grant_id', oauthGrantId);
}

/** With the tool server of a canonical resource, which nearly every token request asks for next. */
export function findLiveTaskById(store: Store, taskId: string, resource?: string): Promise<Result<LiveTask, Refusal>> {
  return findLiveTask(store, 'tasks.id', taskId, resource);
}

async function findLiveTask(
  store: Store,
  column: 'tasks.id' | 'tasks.oauth_grant_id',
  value: string,
  resource = '',
): Promise<Result<LiveTask, Refusal>> {
  const row = await store.db
    .selectFrom('tasks')
    .innerJoin('agents', 'agents.id', 'tasks.agent_id')
    .innerJoin('people', 'people.id', 'tasks.requester_id')
    .innerJoin('tasks as root', 'root.id', 'tasks.root_id')
    .leftJoin('tool_servers as server', (join) => join.on('server.resource', '=', resource))
    .select(['tasks.id', 'tasks.root_id', 'tasks.agent_id', 'tasks.client_id', 'tasks.requester_id', 'tasks.tools'])
    .select(['tasks.state', 'root.state as root_state', 'agents.state as agent_state', 'people.state as person_state'])
    .select(
      sql<number>`floor(extract(epoch from least(tasks.expires_at, root.expires_at) - clock_timestamp()))::int`.as(
        'seconds_left',
      ),
    )
    .select(sql<Date>`clock_timestamp()`.as('read_at'))
    .select(['server.id as server_id', 'server.resource as server_resource', 'server.state as server_state'])
    .where(column, '=', value)
    .executeTakeFirst();
  if (row === undefined) return refused(refusal('task_invalid', 'There is no such task.'));
  if (row.state !== 'active' || row.root_state !== 'active' || row.seconds_left < 1) {
    return refused(refusal('task_ended', 'The task has ended.'));
  }
  if (row.agent_state !== 'active') return refused(refusal('agent_inactive', 'The agent of this task is not active.'));
  if (row.person_state !== 'active') {
    return refused(refusal('person_inactive', 'The person this task is for is not active.'));
  }
  return accepted({
    id: row.id,
    rootId: row.root_id,
    agentId: row.agent_id,
    clientId: row.client_id,
    requesterId: row.requester_id,
    tools: row.tools,
    secondsLeft: row.seconds_left,
    readAt: row.read_at,
    toolServer:
      row.server_id === null || row.server_resource === null || row.server_state === null
        ? undefined
        : { id: row.server_id, resource: row.server_resource, state: row.server_state },
  });
}
