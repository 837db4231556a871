import { sql } from 'kysely';
import type { ToolServer } from '../agents/tool_servers.ts';
import { ALL_FIT, budgetParts, spendPart } from '../approvals/budget.ts';
import { type EventRow, eventRow } from '../events/event_row.ts';
import { ringSealer } from '../events/sealer_bell.ts';
import { newId } from '../kernel/ids.ts';
import type { Charge } from '../model/budget.ts';
import { isAborted } from '../store/postgres/outage.ts';
import type { Store } from '../store/store.ts';
import type { RiskClass } from '../wire/manifest.ts';
import { JUDGED_SECONDS_MAX } from './limits.ts';
import type { CallChain } from './principal.ts';
import type { RedeemableGrant } from './redeemable_grant.ts';

export interface Use {
  readonly server: ToolServer;
  readonly chain: CallChain;
  readonly grant: RedeemableGrant;
  /** The id of the token that was presented. */
  readonly jti: string;
  /** What the policy took the tool for; null where no tool is called. */
  readonly tool: { readonly name: string; readonly digest: string; readonly risk: RiskClass } | null;
  readonly attemptId: string;
  readonly guardInstance: string;
  /** The policy that let it run. */
  readonly policyVersion: string;
  /** What it takes from the budgets of the task and of those above it. */
  readonly charges: readonly Charge[];
}

/** As PostgreSQL names it (0001_initial.ts). */
const ATTEMPT_CONSTRAINT = 'redemptions_guard_instance_attempt_id_key';

/**
 * Takes one use of the grant if everything is still as it was judged: one statement, so one commit, that locks the chain in
 * the order of `lockChain`, compares it, and writes use, redemption and event together (invariants 2 and 8). Answers the
 * id of the redemption; `changed` if anything differs, and then nothing was written; `budget_used_up` if only that was in
 * the way; `attempt_taken` if another request of this very attempt was first.
 */
export async function useGrant(
  store: Store,
  use: Use,
): Promise<string | 'changed' | 'budget_used_up' | 'attempt_taken'> {
  const id = newId('red');
  const { grant } = use;
  const event = eventRow(
    store,
    {
      kind: 'grant.redeemed',
      ids: {
        redemption: id,
        grant: grant.id,
        step_up: grant.step_up_id,
        use_no: grant.uses + 1,
        binding_digest: grant.binding_digest,
        guard_instance: use.guardInstance,
        task: use.chain.principal.task,
        delegation: use.chain.principal.delegation,
        agent: use.chain.principal.agent,
        requester: use.chain.principal.requester,
        policy_version: use.policyVersion,
      },
    },
    grant.read_at,
  );
  try {
    const { rows } = await statement(use, id, event).execute(store.db);
    const { redeemed, is_lacking: isLacking } = rows[0]!;
    if (redeemed === null) return isLacking ? 'budget_used_up' : 'changed';
  } catch (error) {
    if (isAttemptTaken(error)) return 'attempt_taken';
    // PostgreSQL ended it, so nothing was written, and another round may.
    if (isAborted(error)) return 'changed';
    throw error;
  }
  ringSealer(store);
  return id;
}

// The counts make each part read the one before it whole, which keeps the order of the locks. What a part reads is the
// newest version, also after a wait; and the deadline is compared when all locks are held. Token and tool are compared as
// they are when the statement begins, and what was judged must not be old: this process may have stood still since.
function statement(use: Use, id: string, event: EventRow) {
  const { server, chain, grant, jti, tool, attemptId, guardInstance } = use;
  const { lineage } = chain;
  const acting = [...new Set([lineage.requester_id, ...lineage.owner_ids])];
  const voters = new Map(grant.votes.map((vote) => [vote.id, vote]));
  const { budget, allFit, spent, isLacking } = budgetOf(use);
  return sql<{ redeemed: string | null; is_lacking: boolean }>`with person as materialized (
      select id, state, is_administrator, extract(epoch from updated_at)::text as version from people
      where id = any(${[...new Set([...acting, ...voters.keys()])]}::text[]) order by id for share
    ), agent as materialized (
      select id, owner_id, state = 'active' and coalesce(ends_at > clock_timestamp(), true) as is_alive from agents
      where id = any(${lineage.agent_ids}::text[]) and (select count(*) from person) > 0 order by id for share
    ), task as materialized (
      select state, expires_at from tasks
      where id = any(${lineage.task_ids}::text[]) and (select count(*) from agent) > 0
      order by array_position(${lineage.task_ids}::text[], id) for share
    ), delegation as materialized (
      select revoked_at, expires_at from delegations
      where id = any(${lineage.delegation_ids}::text[]) and (select count(*) from task) > 0
      order by array_position(${lineage.delegation_ids}::text[], id) for share
    ), server as materialized (
      select 1 from tool_servers where id = ${server.id} and state = 'active'
        and owner_id is not distinct from ${server.owner_id} and (select count(*) from delegation) > 0 for share
    ), granted as materialized (
      select id, expires_at from grants
      where id = ${grant.id} and uses = ${grant.uses} and uses < max_uses and revoked_at is null
        and (select count(*) from server) = 1
        and (select count(*) from agent a
          join unnest(${lineage.agent_ids}::text[], ${lineage.owner_ids}::text[]) as o (agent_id, owner_id)
          on o.agent_id = a.id and o.owner_id = a.owner_id where a.is_alive) = ${lineage.agent_ids.length}
        and (select count(*) from task where state = 'active') = ${lineage.task_ids.length}
        and (select count(*) from delegation where revoked_at is null) = ${lineage.delegation_ids.length}
        and not exists (select 1 from revoked_tokens where jti = ${jti})
        and (${tool === null}::boolean or exists (select 1 from tools
          where tool_server_id = ${server.id} and name = ${tool?.name ?? null} and state = 'accepted'
            and digest = ${tool?.digest ?? null} and risk = ${tool?.risk ?? null}))
        and (select count(*) from person where id = any(${acting}::text[]) and state = 'active') = ${acting.length}
        and (select count(*) from person p
          join unnest(${[...voters.keys()]}::text[], ${[...voters.values()].map((vote) => vote.state)}::text[],
            ${[...voters.values()].map((vote) => vote.is_administrator)}::boolean[],
            ${[...voters.values()].map((vote) => vote.version)}::text[]) as v (id, state, is_administrator, version)
          on v.id = p.id and v.state = p.state and v.is_administrator = p.is_administrator
            and v.version = p.version) = ${voters.size}
      for update
    ), ${budget} used as (
      update grants g set uses = uses + 1 from granted
      where g.id = granted.id and least(granted.expires_at, (select min(expires_at) from task), (select min(expires_at) from delegation))
        > clock_timestamp()
        and ${chain.readAt}::timestamptz > clock_timestamp() - make_interval(secs => ${JUDGED_SECONDS_MAX})
        and ${allFit}
      returning g.id, g.step_up_id, g.binding_digest, g.uses
    ), ${spent} redeemed as (
      insert into redemptions (id, grant_id, step_up_id, binding_digest, use_no, attempt_id, guard_instance)
      select ${id}, id, step_up_id, binding_digest, uses, ${attemptId}, ${guardInstance} from used
      returning id
    ), recorded as (
      insert into events (kind, body, body_digest, mac, at)
      select ${event.kind}, ${event.body}, ${event.body_digest}, ${event.mac}::bytea, ${event.at}::timestamptz from used
    )
    select (select id from redeemed) as redeemed, ${isLacking} as is_lacking`;
}

/** Most tasks have no budget, and their statement has nothing of it. */
function budgetOf({ charges, chain }: Use) {
  if (charges.length === 0) return { budget: sql``, allFit: sql`true`, spent: sql``, isLacking: sql`false` };
  return {
    budget: sql`${budgetParts(chain.lineage.task_ids, charges, sql`(select count(*) from granted) > 0`)},`,
    allFit: ALL_FIT,
    spent: sql`${spendPart(sql`exists (select 1 from used)`)},`,
    isLacking: sql`not (${ALL_FIT})`,
  };
}

function isAttemptTaken(error: unknown): boolean {
  const { code, constraint } = error as { code?: unknown; constraint?: unknown };
  return code === '23505' && constraint === ATTEMPT_CONSTRAINT;
}
