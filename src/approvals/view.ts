import { sql } from 'kysely';
import { canonicalJson } from '../kernel/canonical_json.ts';
import { sha256Base64url } from '../kernel/digest.ts';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Chain, mayVoteFor, needsPasskey, type Voter } from '../model/eligibility.ts';
import type { Requirements } from '../model/requirements.ts';
import type { DecisionView, StepUpView } from '../model/step_up_view.ts';
import { argumentNames, toolDescription, toolTitle } from '../model/tool_definition.ts';
import type { Store } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import type { Action } from '../wire/action_digest.ts';
import { type BoundConstraint, describeConstraint } from '../wire/constraints.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { loadChainAndLineage, loadVoter } from './chain.ts';
import { describeGates } from './describe_gates.ts';
import { groupsOf } from './groups.ts';
import type { Lineage } from './lineage.ts';
import { openAction } from './sealed_action.ts';
import type { StepUpRow } from './status.ts';

/** Changes when the page shows something else for the same call; part of what is signed as seen. */
export const VIEW_TEMPLATE_VERSION = 2;

/**
 * Everything the page shows of a step-up to this person, read in one snapshot. The arguments come from the canonical
 * bytes that were digested. Refused as `not_found` for people who have no part in it, so that an id alone shows nothing.
 */
export async function viewStepUp(
  store: Store,
  input: { readonly stepUpId: string; readonly personId: string },
): Promise<Result<StepUpView, Refusal>> {
  return transactRepeatably(store, async (tx) => {
    const row = await tx.selectFrom('step_ups').selectAll().where('id', '=', input.stepUpId).executeTakeFirst();
    const voter = await loadVoter(tx, input.personId);
    const hidden = refused(refusal('not_found', 'There is no such request, or you have no part in it.'));
    if (row === undefined || voter === undefined || row.state === 'registered') return hidden;
    const { chain, lineage } = await loadChainAndLineage(tx, row);
    const requirements = row.requirements as unknown as Requirements;
    const mayVote = requirements.gates.some((gate) => mayVoteFor(gate, voter, chain, store.rules.singleOperator));
    const isParty = voter.id === chain.requesterId || chain.accountableIds.includes(voter.id) || voter.isAdministrator;
    if (!voter.isActive || (!mayVote && !isParty)) return hidden;
    const names = await loadNames(tx, row);
    const decisions = await loadDecisions(tx, row);
    const rest = await loadOutcome(tx, row);
    const isRunning = row.expires_at.getTime() > Date.now();
    const state = row.state === 'open' && !isRunning ? 'expired' : row.state;
    const action = openAction(store, row);
    const base = {
      ...names,
      ...(await loadHops(tx, row, lineage)),
      ...describeAction(action),
      id: row.id,
      revision: row.revision,
      state,
      bindingDigest: row.binding_digest,
      actionDigest: row.action_digest,
      gates: describeGates(requirements, decisions, chain, store.rules.singleOperator),
      decisions: decisions.map(({ voter: _, ...decision }) => decision satisfies DecisionView),
      tier: requirements.tier,
      grantSeconds: requirements.ttl_seconds,
      grantUses: requirements.max_uses,
      createdAt: row.created_at,
      expiresAt: row.expires_at,
      decidedAt: row.decided_at,
      reason: row.reason,
      ...rest,
    };
    const viewer = describeViewer(store, { voter, chain, requirements, decisions, mayVote, state });
    return accepted({ ...base, viewDigest: digestOfView(base), viewer });
  });
}

type Base = Omit<StepUpView, 'viewDigest' | 'viewer'>;

/** Over what an approver reads before deciding, not over what changes with decisions and time. */
function digestOfView(view: Base): string {
  const { requester, agent, chain, conditions, task, toolServer, tool, method, inputResponses, facts } = view;
  const shown = {
    template_version: VIEW_TEMPLATE_VERSION,
    id: view.id,
    revision: view.revision,
    binding_digest: view.bindingDigest,
    requester,
    agent,
    chain,
    conditions,
    task: { id: task.id, purpose: task.purpose, purpose_by: task.purposeBy, expires_at: task.expiresAt.toISOString() },
    tool_server: toolServer,
    tool,
    method,
    arguments: view.arguments,
    input_responses: inputResponses,
    facts,
    gates: view.gates.map(({ name, why, approvers, quorum }) => ({ name, why, approvers, quorum })),
    tier: view.tier,
    grant_seconds: view.grantSeconds,
    grant_uses: view.grantUses,
    expires_at: view.expiresAt.toISOString(),
  };
  return sha256Base64url('countersign-view/1', '\0', canonicalJson(shown as unknown as JsonObject));
}

function describeAction(action: Action | null) {
  return {
    method: action?.method ?? 'tools/call',
    arguments: action?.arguments ?? null,
    inputResponses: action?.input_responses ?? null,
    facts: action?.facts ?? {},
  };
}

/** Who handed the work on, and what they demand of the arguments of this tool. */
async function loadHops(tx: Store['db'], row: StepUpRow, { agent_ids }: Lineage) {
  const agents = await tx
    .selectFrom('agents')
    .innerJoin('people', 'people.id', 'agents.owner_id')
    .select(['agents.id', 'agents.name', 'people.display_name'])
    .where('agents.id', 'in', [...agent_ids])
    .execute();
  const { constraints } = await tx
    .selectFrom('delegations')
    .select('constraints')
    .where('id', '=', row.delegation_id)
    .executeTakeFirstOrThrow();
  const known = new Map(agents.map((agent) => [agent.id, { agent: agent.name, owner: agent.display_name }]));
  const demanded = ((constraints ?? []) as unknown as readonly BoundConstraint[]).filter(
    (one) => one.tool_server_id === row.tool_server_id && one.tool === row.tool_name,
  );
  return {
    chain: agent_ids.map((id) => known.get(id)!),
    conditions: demanded.map((one) => `${one.argument} is ${describeConstraint(one)}`),
  };
}

async function loadNames(tx: Store['db'], row: StepUpRow) {
  const found = await tx
    .selectFrom('step_ups as s')
    .innerJoin('people as r', 'r.id', 's.requester_id')
    .innerJoin('agents as a', 'a.id', 's.agent_id')
    .innerJoin('people as o', 'o.id', 'a.owner_id')
    .innerJoin('tasks as t', 't.id', 's.task_id')
    .innerJoin('tool_servers as v', 'v.id', 's.tool_server_id')
    .leftJoin('tools as l', (join) => join.onRef('l.tool_server_id', '=', 'v.id').onRef('l.name', '=', 's.tool_name'))
    .select(['r.display_name as requesterName', 'a.name as agentName', 'a.kind as agentKind'])
    .select('o.display_name as ownerName')
    .select(['t.purpose', 't.created_at as taskStartedAt', 't.expires_at as taskExpiresAt'])
    .select(['v.name as serverName', 'v.resource', 'v.deployment', 'l.definition'])
    .where('s.id', '=', row.id)
    .executeTakeFirstOrThrow();
  const definition = found.definition ?? {};
  return {
    requester: { id: row.requester_id, name: found.requesterName },
    agent: { id: row.agent_id, name: found.agentName, owner: found.ownerName, clientId: row.client_id },
    task: {
      id: row.task_id,
      purpose: found.purpose,
      purposeBy: found.agentKind === 'service' ? ('agent' as const) : ('person' as const),
      startedAt: found.taskStartedAt,
      expiresAt: found.taskExpiresAt,
    },
    toolServer: {
      id: row.tool_server_id,
      name: found.serverName,
      resource: found.resource,
      deployment: found.deployment,
    },
    tool: {
      name: row.tool_name,
      risk: row.risk,
      title: toolTitle(definition),
      description: toolDescription(definition),
      argumentNames: argumentNames(definition),
    },
  };
}

export type CountedDecision = DecisionView & { readonly voter: Voter };

async function loadDecisions(tx: Store['db'], row: StepUpRow): Promise<CountedDecision[]> {
  const rows = await tx
    .selectFrom('decisions')
    .innerJoin('people', 'people.id', 'decisions.person_id')
    .select(['people.id', 'people.display_name', 'people.state', 'people.is_administrator'])
    .select(groupsOf(sql`people.id`).as('groups'))
    .select(['decisions.decision', 'decisions.reason', 'decisions.decided_at', 'decisions.voided_at'])
    .where('step_up_id', '=', row.id)
    .orderBy('decided_at')
    .execute();
  return rows.map((found) => ({
    person: found.display_name,
    decision: found.decision,
    reason: found.reason,
    decidedAt: found.decided_at,
    voter: {
      id: found.id,
      isActive: found.state === 'active' && found.voided_at === null,
      isAdministrator: found.is_administrator,
      groups: found.groups,
    },
  }));
}

async function loadOutcome(tx: Store['db'], row: StepUpRow) {
  const grant = await tx.selectFrom('grants').selectAll().where('step_up_id', '=', row.id).executeTakeFirst();
  const last = await tx
    .selectFrom('redemptions')
    .select(['outcome', 'redeemed_at'])
    .where('step_up_id', '=', row.id)
    .orderBy('use_no', 'desc')
    .limit(1)
    .executeTakeFirst();
  const earlier = await tx
    .selectFrom('redemptions')
    .select(['outcome', 'redeemed_at'])
    .where('binding_digest', '=', row.binding_digest)
    .where('step_up_id', '!=', row.id)
    .where('redeemed_at', '<', sql<Date>`${row.created_at}`)
    .orderBy('redeemed_at', 'desc')
    .limit(1)
    .executeTakeFirst();
  return {
    grant:
      grant === undefined
        ? null
        : {
            expiresAt: grant.expires_at,
            uses: grant.uses,
            maxUses: grant.max_uses,
            revoked: grant.revoked_at !== null,
          },
    outcome: last === undefined ? null : { state: last.outcome, redeemedAt: last.redeemed_at },
    earlier: earlier === undefined ? null : { startedAt: earlier.redeemed_at, outcome: earlier.outcome },
  };
}

function describeViewer(
  store: Store,
  input: {
    readonly voter: Voter;
    readonly chain: Chain;
    readonly requirements: Requirements;
    readonly decisions: readonly CountedDecision[];
    readonly mayVote: boolean;
    readonly state: StepUpRow['state'];
  },
): StepUpView['viewer'] {
  const { voter, chain, requirements, decisions, mayVote, state } = input;
  const hasDecided = decisions.some((decision) => decision.voter.id === voter.id);
  const mayDecide = mayVote && !hasDecided && state === 'open';
  let whyNot: string | null = null;
  if (!mayDecide && state === 'open') {
    if (hasDecided) whyNot = 'You decided this already; it waits for others.';
    else if (voter.id === chain.requesterId) whyNot = 'The agent works for you here, so somebody else must decide.';
    else if (chain.accountableIds.includes(voter.id))
      whyNot = 'You answer for an agent of this chain, so somebody else must decide.';
    else if (chain.keyHolderIds.includes(voter.id))
      whyNot =
        'You may have a key of an agent of this chain, so somebody else must decide. That ends when its keys are replaced.';
    else whyNot = 'The policy does not name you as an approver of this call.';
  }
  return {
    mayDecide,
    whyNot,
    needsPasskey: needsPasskey(requirements, voter.id, chain, store.rules.singleOperator),
    hasDecided,
  };
}
