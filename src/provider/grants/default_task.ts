import { sql } from 'kysely';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { Store } from '../../store/store.ts';
import { narrowest } from '../../tasks/narrow.ts';
import { startTask } from '../../tasks/start.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { DEFAULT_TASK_LEFT_SECONDS_MIN } from '../limits.ts';
import type { KnownToolServer } from '../live_task.ts';

export interface DefaultTask {
  readonly agentId: string;
  readonly clientId: string;
  readonly requesterId: string;
  readonly toolServer: KnownToolServer;
  readonly origin: 'identity_assertion' | 'api';
  readonly purpose: string;
}

/**
 * The task of a client that knows nothing of tasks: what its agent may have of this tool server, for the default time. One that
 * still runs and was begun in the same way goes on, since such clients come again for every token.
 */
export async function defaultTask(store: Store, input: DefaultTask): Promise<Result<string, Refusal>> {
  const { agentId, clientId, requesterId, toolServer, origin, purpose } = input;
  const { rows } = await sql<{ name: string; bound: Record<string, string[]> | null }>`select t.name, a.bound
    from agents a join tools t on t.tool_server_id = ${toolServer.id} and t.state = 'accepted'
    where a.id = ${agentId} order by t.name`.execute(store.db);
  const all = { [toolServer.id]: rows.map((row) => row.name) };
  const tools = narrowest(all, [rows[0]?.bound ?? null]);
  if (tools[toolServer.id] === undefined || rows.length === 0) {
    return refused(refusal('not_allowed', 'This agent may be given no tool of this tool server.'));
  }
  const running = await store.db
    .selectFrom('tasks')
    .select('id')
    .where('agent_id', '=', agentId)
    .where('requester_id', '=', requesterId)
    .where('origin', '=', origin)
    .where('purpose', '=', purpose)
    .where('parent_id', 'is', null)
    .where('state', '=', 'active')
    .where(sql<boolean>`tools = ${JSON.stringify(tools)}::jsonb`)
    .where('expires_at', '>', sql<Date>`clock_timestamp() + make_interval(secs => ${DEFAULT_TASK_LEFT_SECONDS_MIN})`)
    .orderBy('created_at', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (running !== undefined) return accepted(running.id);
  const started = await startTask(store, {
    requesterId,
    agentId,
    clientId,
    purpose,
    purposeCode: '',
    tools,
    seconds: store.rules.taskSecondsDefault,
    oauthGrantId: null,
    origin,
  });
  return started.ok ? accepted(started.value.taskId) : started;
}
