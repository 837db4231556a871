import type { Selectable } from 'kysely';
import type { ToolServersTable, ToolsTable } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';

export type ToolServer = Selectable<ToolServersTable>;
export type Tool = Selectable<ToolsTable>;

export async function findToolServer(store: Store, id: string): Promise<ToolServer | undefined> {
  return store.db.selectFrom('tool_servers').selectAll().where('id', '=', id).executeTakeFirst();
}

/** By resource identifier, compared as a plain string after `canonicalResource`. */
export async function findToolServerByResource(store: Store, resource: string): Promise<ToolServer | undefined> {
  const canonical = canonicalResource(resource);
  if (canonical === undefined) return undefined;
  return store.db.selectFrom('tool_servers').selectAll().where('resource', '=', canonical).executeTakeFirst();
}

export async function findToolServerByClient(store: Store, clientId: string): Promise<ToolServer | undefined> {
  return store.db.selectFrom('tool_servers').selectAll().where('client_id', '=', clientId).executeTakeFirst();
}

export async function listToolServers(store: Store): Promise<ToolServer[]> {
  return store.db.selectFrom('tool_servers').selectAll().orderBy('name').execute();
}

/** All tools of a server that are not removed, accepted or waiting, by name. */
export async function listTools(store: Store, toolServerId: string): Promise<Tool[]> {
  return store.db
    .selectFrom('tools')
    .selectAll()
    .where('tool_server_id', '=', toolServerId)
    .where('state', '!=', 'removed')
    .orderBy('name')
    .execute();
}

/**
 * RFC 8707 §2: an absolute URI without a fragment. Scheme and host are lower-cased, a default port and a lone trailing
 * slash are dropped, so that what clients send in different spellings names one resource. Undefined if it is none.
 */
export function canonicalResource(resource: string): string | undefined {
  if (!URL.canParse(resource) || resource.includes('#')) return undefined;
  const url = new URL(resource);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return undefined;
  if (url.username !== '' || url.password !== '') return undefined;
  return url.pathname === '/' && url.search === '' ? url.origin : url.href;
}
