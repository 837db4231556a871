import type { PinnedPolicy, PolicyBook } from '../agents/policy_book.ts';
import type { ToolServer } from '../agents/tool_servers.ts';
import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { DpopRules } from '../model/federation.ts';
import { type Decision, decideCall } from '../policy/decide.ts';
import type { Store } from '../store/store.ts';
import { type Action, actionDigest, bindingDigest } from '../wire/action_digest.ts';
import { describeConstraint, unmetConstraint } from '../wire/constraints.ts';
import type { EvaluateRequest } from '../wire/guard_api.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { unboundProblem } from './bound_token.ts';
import type { CallChain } from './principal.ts';

const ACTION_OF_METHOD = {
  'tools/call': 'call',
  'resources/read': 'read',
  'resources/subscribe': 'read',
  'prompts/get': 'prompt',
  'completion/complete': 'prompt',
} as const;

export interface DescribedCall {
  readonly action: Action;
  readonly actionDigest: string;
  readonly bindingDigest: string;
  readonly traceparent?: string | undefined;
}

/**
 * The call as both sides must see it: issuer, resource and deployment from our record of the guard, the rest as the
 * guard described it. A guard whose own digest differs means other bytes, and is refused.
 */
export function describeCall(
  store: Store,
  server: ToolServer,
  chain: CallChain,
  described: EvaluateRequest['action'],
): Result<DescribedCall, Refusal> {
  const action: Action = {
    issuer: store.issuer,
    resource: server.resource,
    deployment: server.deployment,
    method: described.method,
    name: described.name,
    manifest_digest: described.manifest_digest,
    arguments: described.arguments as JsonObject,
    input_responses: (described.input_responses ?? null) as JsonValue,
    facts: described.facts as JsonObject,
  };
  const digest = actionDigest(action);
  if (digest !== described.action_digest) {
    return refused(
      refusal(
        'request_invalid',
        'The action digest does not match the action. Guard and server must mean the same deployment.',
      ),
    );
  }
  const { requester, delegation, agent, task } = chain.principal;
  const binding = bindingDigest({ action_digest: digest, requester, delegation, agent, task });
  return accepted({ action, actionDigest: digest, bindingDigest: binding });
}

interface CallToDecide {
  readonly server: ToolServer;
  readonly chain: CallChain;
  readonly action: Action;
  readonly approvals: readonly string[];
  readonly dpop: DpopRules;
}

/**
 * What the policy in force says of this call now, with the gates that `approvals` lifts. The compiled policy is handed in
 * (`PolicyBook.compiledFor`), so that a transaction never waits for a second connection.
 */
export function decideOnCall(book: PolicyBook, policy: Result<PinnedPolicy, Refusal>, input: CallToDecide): Decision {
  const deny = (found: Refusal): Decision => ({
    kind: 'deny',
    code: found.code,
    message: found.message,
    policy_version: book.set.version,
    determining: [],
  });
  if (!policy.ok) return deny(policy.refusal);
  const problem = problemBeforePolicy(policy.value, input);
  if (problem !== undefined) return deny(problem);
  const { server, chain, action } = input;
  const decision = decideCall(book.engine, policy.value.compiled, {
    action: kindOf(action),
    server: server.name,
    target: action.name,
    arguments: action.arguments,
    agent: {
      id: chain.agent.id,
      name: chain.agent.name,
      kind: chain.agent.kind,
      trust_zone: chain.agent.trust_zone,
      owner: chain.owner,
    },
    chain: chain.lineage.agent_ids,
    requester: chain.requester,
    task: {
      id: chain.task.id,
      // Where a service agent picked the code itself, nothing is decided from what an agent says (invariant 9).
      purpose_code: chain.task.is_purpose_chosen ? chain.task.purpose_code : '',
      tools: chain.task.tools[server.id] ?? [],
      depth: chain.task.depth,
    },
    approvals: input.approvals,
    amr: chain.amr,
  });
  // Nobody agreed that these two work together, so that a person must have looked at this very call.
  const isUnasked = decision.kind === 'permit' && input.approvals.length === 0;
  if (!isUnasked || chain.isPeer) return decision;
  const message = `The agent at this address takes no work from "${chain.agent.name}": they are no peers.`;
  return deny(refusal('peer_unknown', message));
}

/** What no policy can open: the accepted tools, the key that is demanded, the task and the delegation. */
function problemBeforePolicy(policy: PinnedPolicy, { server, chain, action, dpop }: CallToDecide): Refusal | undefined {
  const isCall = kindOf(action) === 'call';
  const pinned = isCall ? policy.pins.get(action.name) : undefined;
  if (isCall && pinned === undefined) {
    return refusal('tool_unknown', `There is no accepted tool "${action.name}" here.`);
  }
  if (isCall && pinned?.digest !== action.manifest_digest) {
    return refusal('tool_changed', `The tool "${action.name}" changed since its owner accepted it.`);
  }
  const unbound = unboundProblem(chain, pinned?.risk, dpop);
  if (unbound !== undefined || !isCall) return unbound;
  if (!(chain.task.tools[server.id] ?? []).includes(action.name)) {
    return refusal('tool_not_in_task', `The task does not include the tool "${action.name}".`);
  }
  const call = { toolServerId: server.id, tool: action.name, arguments: action.arguments };
  const unmet = unmetConstraint(chain.constraints, call);
  if (unmet === undefined) return undefined;
  const message = `This was delegated only where the argument ${unmet.argument} of "${action.name}" is ${describeConstraint(unmet)}.`;
  return refusal('outside_delegation', message);
}

function kindOf(action: Action) {
  return ACTION_OF_METHOD[action.method as keyof typeof ACTION_OF_METHOD];
}
