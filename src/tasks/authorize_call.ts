import type { PolicyBook } from '../agents/policy_book.ts';
import type { ToolServer } from '../agents/tool_servers.ts';
import { recordAgentUse } from '../agents/uses.ts';
import { budgetUsedUp } from '../approvals/budget.ts';
import { type BindingState, findByBinding } from '../approvals/find_by_binding.ts';
import { registerStepUp } from '../approvals/register.ts';
import { reserveScopeChallenge } from '../approvals/scope_lane.ts';
import { type StepUpRow, statusOf } from '../approvals/status.ts';
import type { NewEvent } from '../events/event_body.ts';
import { record } from '../events/record.ts';
import { canonicalJson } from '../kernel/canonical_json.ts';
import type { StepUp } from '../policy/decide.ts';
import type { Store } from '../store/store.ts';
import type { AccessTokenClaims } from '../wire/claims.ts';
import type { EvaluateAnswer, EvaluateRequest } from '../wire/guard_api.ts';
import { type Refusal, refusal, refusalBody } from '../wire/refusals.ts';
import { BASE_SCOPE } from '../wire/scopes.ts';
import { chargesOf } from './charges.ts';
import { countCall } from './count_call.ts';
import { type DescribedCall, decideOnCall, describeCall } from './decide_call.ts';
import { GATED_ARGUMENTS_BYTES_MAX } from './limits.ts';
import { type CallChain, loadCallChain } from './principal.ts';

export interface AuthorizeCall {
  readonly server: ToolServer;
  /** Of the caller's verified token. */
  readonly claims: AccessTokenClaims;
  readonly action: EvaluateRequest['action'];
  readonly guardInstance: string;
  /** W3C Trace Context of the call, to find it again in other systems' traces. */
  readonly traceparent?: string | undefined;
}

/** Decides one message for a guard: permit, deny, replay, approved (redeem it) or step-up (wait for people). */
export async function authorizeCall(store: Store, book: PolicyBook, input: AuthorizeCall): Promise<EvaluateAnswer> {
  const { server } = input;
  if (server.state !== 'active') {
    return deny(null, refusal('tool_server_inactive', `The tool server is ${server.state}.`));
  }
  const chain = await loadCallChain(store, input.claims);
  if (!chain.ok) return deny(null, chain.refusal);
  const described = describeCall(store, server, chain.value, input.action);
  if (!described.ok) return deny(chain.value, described.refusal);
  const call = { value: { ...described.value, traceparent: input.traceparent } };
  const policy = await book.compiledFor(store, server);
  const { action } = call.value;
  const { dpop } = store.rules;
  const decision = decideOnCall(book, policy, { server, chain: chain.value, action, approvals: [], dpop });
  const isTool = call.value.action.method === 'tools/call';
  const risk = policy.ok && isTool ? policy.value.pins.get(input.action.name)?.risk : undefined;
  switch (decision.kind) {
    case 'permit': {
      const permitted = { chain: chain.value, call: call.value, policyVersion: decision.policy_version };
      const answer = await permit(store, input, permitted);
      if (answer.decision === 'permit' && isTool) {
        const agentIds = chain.value.lineage.agent_ids;
        recordAgentUse(store, { agentIds, toolServerId: server.id, toolName: call.value.action.name });
      }
      return answer;
    }
    case 'deny':
      await recordCall(store, 'call.denied', server, chain.value, call.value, {
        policy_version: decision.policy_version,
        code: decision.code,
      });
      return deny(chain.value, refusal(decision.code, decision.message));
    case 'step_up': {
      const answer = await gate(store, input, { chain: chain.value, call: call.value, decision, risk: risk ?? 'read' });
      if (answer.decision === 'deny') {
        const lacking = answer.refusal.error === 'budget_used_up' ? answer.refusal.detail?.budget : undefined;
        await recordCall(
          store,
          lacking === undefined ? 'call.denied' : 'task.budget_used_up',
          server,
          chain.value,
          call.value,
          {
            policy_version: decision.policy_version,
            ...(lacking === undefined ? { code: answer.refusal.error } : { budget: String(lacking) }),
          },
        );
      }
      return answer;
    }
  }
}

function deny(chain: CallChain | null, refused: Refusal): EvaluateAnswer {
  return {
    decision: 'deny',
    principal: chain?.principal ?? null,
    refusal: refusalBody(refused) as Extract<EvaluateAnswer, { decision: 'deny' }>['refusal'],
  };
}

interface Permitted {
  readonly chain: CallChain;
  readonly call: DescribedCall;
  readonly policyVersion: string;
}

/** What policy permits runs if the budgets allow it; it is recorded before the guard hears of it. */
async function permit(store: Store, { server }: AuthorizeCall, permitted: Permitted): Promise<EvaluateAnswer> {
  const { chain, call, policyVersion } = permitted;
  const more = { policy_version: policyVersion };
  const charges = chargesOf(chain.task.budgeted, server.id, call.action);
  if (!charges.ok) {
    await recordCall(store, 'call.denied', server, chain, call, { ...more, code: charges.refusal.code });
    return deny(chain, charges.refusal);
  }
  const answer: EvaluateAnswer = { decision: 'permit', principal: chain.principal };
  if (charges.value.length === 0) {
    await recordCall(store, 'call.permitted', server, chain, call, more);
    return answer;
  }
  const event = callEvent('call.permitted', server, chain, call, more);
  const lacking = await countCall(store, chain, charges.value, event);
  if (lacking === null) return answer;
  await recordCall(store, 'task.budget_used_up', server, chain, call, { ...more, budget: lacking });
  return deny(chain, budgetUsedUp(lacking));
}

interface Gated {
  readonly chain: CallChain;
  readonly call: DescribedCall;
  readonly decision: StepUp;
  readonly risk: string;
}

/** The guard's order (design §3): denied, executed, approved, open; a new step-up only if none of them. */
async function gate(
  store: Store,
  input: AuthorizeCall,
  { chain, call, decision, risk }: Gated,
): Promise<EvaluateAnswer> {
  const { principal } = chain;
  if (bytesToReview(call) > GATED_ARGUMENTS_BYTES_MAX) {
    return deny(chain, refusal('arguments_too_large', 'What a person would have to review is larger than 64 KiB.'));
  }
  const known = await findByBinding(store, call.bindingDigest);
  switch (known.kind) {
    case 'denied':
      return deny(chain, denial(store, known.stepUp));
    case 'executed':
      return replay(chain, known);
    case 'approved':
      return { decision: 'approved', principal, step_up: statusOf(store, known.stepUp) };
    case 'undecided':
      return pending(store, chain, known.stepUp, decision);
    case 'none': {
      // Nobody is asked for what could not run afterwards.
      const charges = chargesOf(chain.task.budgeted, input.server.id, call.action);
      if (!charges.ok) return deny(chain, charges.refusal);
      const registered = await registerStepUp(store, {
        ...call,
        requesterId: principal.requester,
        agentId: principal.agent,
        taskId: principal.task,
        delegationId: principal.delegation,
        clientId: principal.client_id,
        toolServerId: input.server.id,
        risk,
        policyVersion: decision.policy_version,
        requirements: decision.requirements,
        guardInstance: input.guardInstance,
        isBudgeted: chain.task.budgeted.length > 0,
        charges: charges.value,
      });
      return registered.ok ? pending(store, chain, registered.value, decision) : deny(chain, registered.refusal);
    }
  }
}

/** Everything the client chose that the approval page shows in full. */
function bytesToReview({ action }: DescribedCall): number {
  const { arguments: args, input_responses: inputs } = action;
  return Buffer.byteLength(canonicalJson(args)) + (inputs === null ? 0 : Buffer.byteLength(canonicalJson(inputs)));
}

/** A person's refusal in the words the agent gets, with the reason if one was given. */
export function denial(store: Store, stepUp: StepUpRow): Refusal {
  const because = stepUp.reason === null ? '' : ` Reason: ${stepUp.reason}`;
  return refusal('step_up_denied', `A person refused this call.${because}`, {
    step_up_id: stepUp.id,
    reason: stepUp.reason,
    approval_url: statusOf(store, stepUp).approval_url,
  });
}

function replay(chain: CallChain, known: Extract<BindingState, { kind: 'executed' }>): EvaluateAnswer {
  return {
    decision: 'replay',
    principal: chain.principal,
    redeemed_at: known.redeemedAt.toISOString(),
    outcome: known.outcome,
    result: known.result as Record<string, unknown> | null,
  };
}

async function pending(store: Store, chain: CallChain, stepUp: StepUpRow, decision: StepUp): Promise<EvaluateAnswer> {
  const allowed =
    chain.agent.kind === 'interactive' &&
    (await reserveScopeChallenge(store, {
      clientId: chain.principal.client_id,
      personId: chain.principal.requester,
      stepUpId: stepUp.id,
    }));
  return {
    decision: 'step_up',
    principal: chain.principal,
    step_up: statusOf(store, stepUp),
    txn: stepUp.state === 'registered' ? stepUp.txn : null,
    why: decision.requirements.gates.map((found) => found.why),
    scope_challenge: { allowed, base_scope: BASE_SCOPE },
  };
}

type CallEvent = 'call.permitted' | 'call.denied' | 'task.budget_used_up';

async function recordCall(store: Store, kind: CallEvent, ...about: CallFacts): Promise<void> {
  await record(store, callEvent(kind, ...about), about[1].readAt);
}

type CallFacts = [server: ToolServer, chain: CallChain, call: DescribedCall, more: Readonly<Record<string, string>>];

function callEvent(kind: CallEvent, ...[server, chain, call, more]: CallFacts): Omit<NewEvent, 'personal'> {
  const { requester, agent, task, delegation } = chain.principal;
  return {
    kind,
    ids: {
      tool_server: server.id,
      method: call.action.method,
      name: call.action.method === 'tools/call' ? call.action.name : null,
      action_digest: call.actionDigest,
      requester,
      agent,
      task,
      delegation,
      ...(call.traceparent === undefined ? {} : { traceparent: call.traceparent }),
      ...more,
    },
  };
}
