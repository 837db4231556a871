import { append } from '../events/append.ts';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { CHANNELS } from '../store/wake.ts';
import type { RiskClass } from '../wire/manifest.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { TOOLS_PER_SERVER_MAX } from './limits.ts';
import { type ListedTool, readManifest } from './manifest.ts';
import { recordAcceptedTool } from './record_accepted_tool.ts';
import type { Tool, ToolServer } from './tool_servers.ts';

/**
 * A guard reports the tools its server lists now. Known tools that differ and new tools wait for the owner; nothing that
 * is accepted changes. A tool that is no longer listed stays accepted: it cannot be called while its server lacks it.
 */
export async function reportManifest(
  store: Store,
  server: ToolServer,
  tools: readonly JsonObject[],
): Promise<Result<{ accepted: number; waiting: string[] }, Refusal>> {
  const manifest = readManifest(tools);
  if (!manifest.ok) return manifest;
  return transact(store, async (tx, afterCommit) => {
    // Whoever accepts the registration reads the tools under this lock.
    await tx.selectFrom('tool_servers').select('id').where('id', '=', server.id).forShare().execute();
    const known = new Map(
      (await tx.selectFrom('tools').selectAll().where('tool_server_id', '=', server.id).forUpdate().execute()).map(
        (tool) => [tool.name, tool],
      ),
    );
    const room = await makeRoom(tx, server.id, [...known.values()], manifest.value);
    if (!room.ok) return room;
    const waiting: string[] = [];
    let changed = 0;
    for (const tool of manifest.value) {
      const row = known.get(tool.name);
      if (row?.state === 'accepted' && row.digest === tool.digest) {
        if (row.proposed_digest !== null) await clearProposal(tx, server.id, tool.name);
        continue;
      }
      waiting.push(tool.name);
      if (row === undefined || row.state !== 'accepted') changed += await proposeNew(tx, server.id, tool, row?.digest);
      else if (row.proposed_digest !== tool.digest) changed += await proposeChange(tx, server.id, tool);
    }
    if (changed > 0) {
      await append(store, tx, afterCommit, {
        kind: 'tool_server.tools_changed',
        ids: { tool_server: server.id, tools: changed },
      });
    }
    return accepted({ accepted: manifest.value.length - waiting.length, waiting });
  });
}

/**
 * A server keeps a bounded number of tools, whatever its guard reports over time: where they would be too many, those
 * nobody accepted and that are not listed any more go.
 */
async function makeRoom(
  tx: Tx,
  serverId: string,
  known: readonly Tool[],
  listed: readonly ListedTool[],
): Promise<Result<true, Refusal>> {
  const names = new Set(listed.map((tool) => tool.name));
  const unlisted = known.filter((tool) => !names.has(tool.name));
  if (unlisted.length + listed.length <= TOOLS_PER_SERVER_MAX) return accepted(true);
  const kept = unlisted.filter((tool) => tool.state === 'accepted');
  if (kept.length + listed.length > TOOLS_PER_SERVER_MAX) {
    return refused(
      refusal('request_invalid', `With those accepted before, there would be more than ${TOOLS_PER_SERVER_MAX} tools.`),
    );
  }
  await tx
    .deleteFrom('tools')
    .where('tool_server_id', '=', serverId)
    .where('state', '!=', 'accepted')
    .where(
      'name',
      'in',
      unlisted.map((tool) => tool.name),
    )
    .execute();
  return accepted(true);
}

async function clearProposal(tx: Tx, serverId: string, name: string): Promise<void> {
  await tx
    .updateTable('tools')
    .set({ proposed_definition: null, proposed_digest: null, proposed_risk: null })
    .where('tool_server_id', '=', serverId)
    .where('name', '=', name)
    .execute();
}

async function proposeNew(tx: Tx, serverId: string, tool: ListedTool, before: string | undefined): Promise<number> {
  if (before === tool.digest) return 0;
  const definition = JSON.stringify(tool.definition);
  await tx
    .insertInto('tools')
    .values({
      tool_server_id: serverId,
      name: tool.name,
      state: 'proposed',
      definition,
      digest: tool.digest,
      risk: 'critical',
      proposed_definition: null,
      proposed_digest: null,
      proposed_risk: null,
    })
    .onConflict((conflict) =>
      conflict.columns(['tool_server_id', 'name']).doUpdateSet({ state: 'proposed', definition, digest: tool.digest }),
    )
    .execute();
  return 1;
}

async function proposeChange(tx: Tx, serverId: string, tool: ListedTool): Promise<number> {
  await tx
    .updateTable('tools')
    .set({ proposed_definition: JSON.stringify(tool.definition), proposed_digest: tool.digest })
    .where('tool_server_id', '=', serverId)
    .where('name', '=', tool.name)
    .execute();
  return 1;
}

interface AcceptToolChanges {
  readonly toolServerId: string;
  readonly by: string;
  readonly tools: readonly string[];
  readonly risks: Readonly<Record<string, RiskClass>>;
  /** The digests the person saw, by tool name: a tool that changed again meanwhile is not accepted. */
  readonly digests: Readonly<Record<string, string>>;
}

/** The owner, or an administrator, accepts waiting tools as they are now reported. */
export async function acceptToolChanges(
  store: Store,
  input: AcceptToolChanges,
): Promise<Result<{ accepted: number }, Refusal>> {
  return transact(store, async (tx, afterCommit) => {
    const allowed = await tx
      .selectFrom('people')
      .innerJoin('tool_servers', (join) => join.on('tool_servers.id', '=', input.toolServerId))
      .select('people.id')
      .where('people.id', '=', input.by)
      .where('people.state', '=', 'active')
      .where((or) =>
        or.or([or('people.is_administrator', '=', true), or('tool_servers.owner_id', '=', or.ref('people.id'))]),
      )
      .executeTakeFirst();
    if (allowed === undefined) {
      return refused(
        refusal('not_allowed', 'Only the owner of the tool server or an administrator can accept its tools.'),
      );
    }
    for (const name of input.tools) await acceptWaiting(store, tx, afterCommit, input, name);
    await append(store, tx, afterCommit, {
      kind: 'tool_server.tools_accepted',
      ids: { tool_server: input.toolServerId, person: input.by, tools: input.tools.length },
    });
    afterCommit(() => store.ephemeral.publish(CHANNELS.toolServer(input.toolServerId), 'tools'));
    return accepted({ accepted: input.tools.length });
  }).catch((error: unknown) => {
    if (!(error instanceof StaleToolError)) throw error;
    return refused(
      refusal('page_outdated', `The tool "${error.tool}" changed again since the page was shown. Nothing was changed.`),
    );
  });
}

async function acceptWaiting(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  input: AcceptToolChanges,
  name: string,
): Promise<void> {
  const row = await tx
    .selectFrom('tools')
    .selectAll()
    .where('tool_server_id', '=', input.toolServerId)
    .where('name', '=', name)
    .forUpdate()
    .executeTakeFirst();
  const digest = row?.proposed_digest ?? row?.digest;
  // Of a tool that does not wait, only the class would change, on a page that shows no such choice.
  const isWaiting = row?.state !== 'accepted' || row.proposed_digest !== null;
  if (row === undefined || digest === undefined || digest !== input.digests[name] || !isWaiting) {
    throw new StaleToolError(name);
  }
  const risk = Object.hasOwn(input.risks, name) ? input.risks[name]! : row.risk;
  const riskBefore = row.state === 'accepted' ? row.risk : null;
  const tool = { toolServerId: input.toolServerId, name, digest, risk, riskBefore, by: input.by };
  await recordAcceptedTool(store, tx, afterCommit, tool);
  await tx
    .updateTable('tools')
    .set({
      state: 'accepted',
      definition: JSON.stringify(row.proposed_definition ?? row.definition),
      digest,
      risk,
      proposed_definition: null,
      proposed_digest: null,
      proposed_risk: null,
      updated_at: new Date(),
    })
    .where('tool_server_id', '=', input.toolServerId)
    .where('name', '=', name)
    .execute();
}

/** Rolls the transaction back: all tools of one acceptance are accepted together or none. */
class StaleToolError extends Error {
  readonly tool: string;
  constructor(tool: string) {
    super(`the tool ${tool} changed since it was shown`);
    this.tool = tool;
  }
}
