import { append } from '../events/append.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { SafeFetch } from '../kernel/safe_fetch.ts';
import { parseStrictJson } from '../kernel/strict_json.ts';
import type { Store, Tx } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { CHANNELS } from '../store/wake.ts';
import type { RiskClass } from '../wire/manifest.ts';
import { protectedResourceMetadataUrl } from '../wire/protected_resource_rfc9728.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { recordAcceptedTool } from './record_accepted_tool.ts';
import { findToolServer, type ToolServer } from './tool_servers.ts';

export interface AcceptToolServer {
  readonly toolServerId: string;
  /** The administrator who accepts; becomes the owner of the tool server. */
  readonly by: string;
  /** Class per tool name; a tool that is not named keeps the class it was proposed with. */
  readonly risks: Readonly<Record<string, RiskClass>>;
  /** The digests the administrator saw, by tool name. */
  readonly digests: Readonly<Record<string, string>>;
  readonly fetch: SafeFetch;
}

/**
 * An administrator accepts a registration and all its tools as they were shown, after proof that the guard controls its address: the
 * protected-resource metadata there must name our issuer and carry the nonce of this registration (design §3).
 */
export async function acceptToolServer(store: Store, input: AcceptToolServer): Promise<Result<ToolServer, Refusal>> {
  const server = await findToolServer(store, input.toolServerId);
  if (server === undefined) return refused(refusal('not_found', 'There is no such tool server.'));
  if (server.state !== 'pending') {
    return refused(refusal('conflict', `This registration is ${server.state} already. Nothing was changed.`));
  }
  const proof = await proveControl(store, server, input.fetch);
  if (!proof.ok) return proof;
  return transact(store, async (tx, afterCommit) => {
    if (!(await isActiveAdministrator(tx, input.by))) {
      return refused(refusal('not_allowed', 'Only an administrator can accept a tool server.'));
    }
    // The guard of a pending registration may report other tools while somebody reads the page. It takes this lock too.
    await tx.selectFrom('tool_servers').select('id').where('id', '=', server.id).forUpdate().execute();
    const tools = await tx
      .selectFrom('tools')
      .select(['name', 'digest', 'risk'])
      .where('tool_server_id', '=', server.id)
      .execute();
    if (!isAsShown(tools, input.digests)) {
      return refused(
        refusal('page_outdated', 'The tools of this server changed since the page was shown. Nothing was changed.'),
      );
    }
    const row = await tx
      .updateTable('tool_servers')
      .set({ state: 'active', owner_id: input.by, accepted_at: new Date() })
      .where('id', '=', server.id)
      .where('state', '=', 'pending')
      .returningAll()
      .executeTakeFirst();
    if (row === undefined)
      return refused(refusal('conflict', 'Somebody else decided this registration. Nothing was changed.'));
    for (const { name, digest, risk: proposed } of tools) {
      const risk = Object.hasOwn(input.risks, name) ? input.risks[name]! : proposed;
      await tx
        .updateTable('tools')
        .set({ state: 'accepted', risk, updated_at: new Date() })
        .where('tool_server_id', '=', server.id)
        .where('name', '=', name)
        .execute();
      const tool = { toolServerId: server.id, name, digest, risk, riskBefore: null, by: input.by };
      await recordAcceptedTool(store, tx, afterCommit, tool);
    }
    await append(store, tx, afterCommit, {
      kind: 'tool_server.accepted',
      ids: { tool_server: server.id, person: input.by, tools: tools.length },
    });
    afterCommit(() => store.ephemeral.publish(CHANNELS.toolServer(server.id), 'accepted'));
    return accepted(row);
  });
}

function isAsShown(
  tools: readonly { readonly name: string; readonly digest: string }[],
  shown: Readonly<Record<string, string>>,
): boolean {
  const isSame = tools.every(({ name, digest }) => Object.hasOwn(shown, name) && shown[name] === digest);
  return isSame && Object.keys(shown).length === tools.length;
}

export async function rejectToolServer(
  store: Store,
  input: { readonly toolServerId: string; readonly by: string },
): Promise<Result<ToolServer, Refusal>> {
  return transact(store, async (tx, afterCommit) => {
    if (!(await isActiveAdministrator(tx, input.by))) {
      return refused(refusal('not_allowed', 'Only an administrator can reject a tool server.'));
    }
    const row = await tx
      .updateTable('tool_servers')
      .set({ state: 'rejected' })
      .where('id', '=', input.toolServerId)
      .where('state', '=', 'pending')
      .returningAll()
      .executeTakeFirst();
    if (row === undefined)
      return refused(refusal('conflict', 'This registration is not waiting. Nothing was changed.'));
    // The name and the address are free again for a registration with another key.
    await tx
      .updateTable('tool_servers')
      .set({ name: `${row.name}~${row.id}`, resource: `${row.resource}#${row.id}` })
      .where('id', '=', row.id)
      .execute();
    await append(store, tx, afterCommit, {
      kind: 'tool_server.rejected',
      ids: { tool_server: row.id, person: input.by },
    });
    return accepted(row);
  });
}

export async function isActiveAdministrator(tx: Tx, personId: string): Promise<boolean> {
  const person = await tx
    .selectFrom('people')
    .select('id')
    .where('id', '=', personId)
    .where('state', '=', 'active')
    .where('is_administrator', '=', true)
    .executeTakeFirst();
  return person !== undefined;
}

async function proveControl(store: Store, server: ToolServer, fetch: SafeFetch): Promise<Result<true, Refusal>> {
  const url = protectedResourceMetadataUrl(server.resource);
  const failed = (what: string) =>
    refused(
      refusal(
        'conflict',
        `The address ${server.resource} did not prove that it belongs to this registration: ${what} Start the guard ` +
          'there and accept again. Nothing was changed.',
      ),
    );
  let body: Buffer;
  try {
    const response = await fetch(url);
    if (response.status !== 200) return failed(`its metadata at ${url} answered ${response.status}.`);
    body = response.body;
  } catch {
    return failed(
      `its metadata at ${url} could not be read. On a private network or plain http it is read only if fetch_allowed_hosts names it.`,
    );
  }
  const parsed = parseStrictJson(body);
  const metadata = parsed.ok ? parsed.value : null;
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata))
    return failed('its metadata is not JSON.');
  const { authorization_servers: issuers, countersign_registration: nonce } = metadata as Record<string, unknown>;
  if (!Array.isArray(issuers) || !issuers.includes(store.issuer)) {
    return failed(`its metadata does not name ${store.issuer} as authorization server.`);
  }
  return nonce === server.registration_nonce ? accepted(true) : failed('its metadata carries another registration.');
}
