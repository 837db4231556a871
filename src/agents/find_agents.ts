import type { JWK } from 'jose';
import { sql } from 'kysely';
import type { JsonObject } from '../kernel/json.ts';
import type { Store } from '../store/store.ts';
import type { Agent } from './agent.ts';
import { type ListedKey, listedKeys, thumbprintOf } from './keys.ts';

export interface AgentFilter {
  readonly state?: Agent['state'];
  readonly owner?: string;
  /** The last agent of the page before. */
  readonly after?: string;
  readonly limit: number;
}

/** The newest first. An unknown `after` gives nothing, as if everything had been seen. */
export async function findAgents(store: Store, { state, owner, after, limit }: AgentFilter): Promise<Agent[]> {
  let query = store.db
    .selectFrom('agents')
    .selectAll()
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit);
  if (state !== undefined) query = query.where('state', '=', state);
  if (owner !== undefined) query = query.where('owner_id', '=', owner);
  if (after !== undefined) {
    query = query.where(sql<boolean>`(created_at, id) < (select created_at, id from agents where id = ${after})`);
  }
  return query.execute();
}

export interface AgentKeys {
  readonly jwksUri: string | null;
  readonly keys: readonly { readonly thumbprint: string; readonly kid: string | null; readonly since: Date }[];
}

/** How a service agent proves who it is; null for one that works for a person. */
export async function findAgentKeys(store: Store, agent: Agent): Promise<AgentKeys | null> {
  if (agent.kind === 'interactive') return null;
  const client = await store.db
    .selectFrom('oauth_clients')
    .select('metadata')
    .where('client_id', '=', agent.client_id)
    .executeTakeFirst();
  const metadata: JsonObject = client?.metadata ?? {};
  const keys = await Promise.all(listedKeys(metadata, agent.key_changed_at).map(describeKey));
  return { jwksUri: typeof metadata.jwks_uri === 'string' ? metadata.jwks_uri : null, keys };
}

async function describeKey(key: ListedKey & JWK) {
  return { thumbprint: await thumbprintOf(key), kid: key.kid ?? null, since: new Date(key.iat * 1000) };
}

/** Everyone who ever answered for an agent, the newest first. */
export async function listOwnerships(store: Store, agentId: string) {
  return store.db
    .selectFrom('agent_ownerships')
    .select(['person_id', 'role', 'since', 'until'])
    .where('agent_id', '=', agentId)
    .orderBy('since', 'desc')
    .orderBy('id')
    .execute();
}
