import { sql } from 'kysely';
import type { Store } from '../store/store.ts';
import { AGENT_USE_RECORDED_SECONDS, USES_FLUSH_MS, USES_KEPT_MAX } from './limits.ts';

export interface AgentUse {
  /** Everybody in the chain: what one agent hands on is used by both. */
  readonly agentIds: readonly string[];
  readonly toolServerId: string;
  readonly toolName: string;
}

type Kept = readonly [agentId: string, toolServerId: string, toolName: string];

/** What was used since the last flush, per database. */
const kept = new WeakMap<Store['db'], Map<string, Kept>>();

/** Notes in memory that these agents used a tool now. Asks nothing and waits for nothing: it is on the path of every call. */
export function recordAgentUse({ db }: Pick<Store, 'db'>, { agentIds, toolServerId, toolName }: AgentUse): void {
  let uses = kept.get(db);
  if (uses === undefined) {
    uses = new Map();
    kept.set(db, uses);
  }
  for (const agentId of agentIds) {
    const key = `${agentId} ${toolServerId} ${toolName}`;
    if (uses.size < USES_KEPT_MAX || uses.has(key)) uses.set(key, [agentId, toolServerId, toolName]);
  }
}

/** Writes down what was used since the last time, once per agent and tool. What cannot be written is kept for the next time. */
export async function flushAgentUses({ db }: Pick<Store, 'db'>): Promise<number> {
  const uses = kept.get(db);
  if (uses === undefined || uses.size === 0) return 0;
  kept.delete(db);
  const rows = [...uses.values()];
  try {
    await write(db, rows);
  } catch (error) {
    for (const [agentId, toolServerId, toolName] of rows) {
      recordAgentUse({ db }, { agentIds: [agentId], toolServerId, toolName });
    }
    throw error;
  }
  return rows.length;
}

// In order of their keys, so that two processes that flush at once do not wait for each other in a circle; an agent that
// somebody changes in this moment is left for the next time.
async function write(db: Store['db'], rows: readonly Kept[]): Promise<void> {
  const [agents, servers, tools] = [0, 1, 2].map((index) => rows.map((row) => row[index]!)) as [
    string[],
    string[],
    string[],
  ];
  await sql`insert into agent_uses (agent_id, tool_server_id, tool_name)
    select * from unnest(${agents}::text[], ${servers}::text[], ${tools}::text[]) order by 1, 2, 3
    on conflict (agent_id, tool_server_id, tool_name) do update set last_used_at = clock_timestamp()
      where agent_uses.last_used_at < clock_timestamp() - make_interval(secs => ${AGENT_USE_RECORDED_SECONDS})`.execute(
    db,
  );
  await sql`update agents set last_used_at = clock_timestamp() where id in (
    select id from agents where id = any(${[...new Set(agents)]}::text[])
      and coalesce(last_used_at < clock_timestamp() - make_interval(secs => ${AGENT_USE_RECORDED_SECONDS}), true)
    order by id for no key update skip locked)`.execute(db);
}

/** Flushes every minute until stopped, and once more then. */
export function startAgentUses(store: Store): { stop(): Promise<void> } {
  let running: Promise<unknown> = Promise.resolve();
  const flush = () =>
    flushAgentUses(store).catch((error: unknown) =>
      store.log.warn({ err: error }, 'what agents used could not be written down; it is kept and tried again'),
    );
  const timer = setInterval(() => {
    running = running.then(flush);
  }, USES_FLUSH_MS);
  timer.unref();
  return {
    async stop() {
      clearInterval(timer);
      await running;
      await flush();
    },
  };
}
