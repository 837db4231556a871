import type { RefusalCode } from '../wire/refusals.ts';
import { undeclaredArguments } from '../wire/undeclared_arguments.ts';
import { type CallRequest, type CedarQuestion, cedarQuestion } from './call_request.ts';
import type { CompiledPolicy } from './compiled_policy.ts';
import type { Evaluation, PolicyEngine } from './engine.ts';
import { combineGates, type Requirements } from './requirements.ts';

interface Decided {
  readonly policy_version: string;
  /** Ids of the policies that made the decision, sorted. */
  readonly determining: readonly string[];
}

export type Permit = Decided & { readonly kind: 'permit' };
export type StepUp = Decided & { readonly kind: 'step_up'; readonly requirements: Requirements };
export type Deny = Decided & {
  readonly kind: 'deny';
  readonly code: RefusalCode;
  /** Safe to show to the agent. */
  readonly message: string;
  /** For log and audit only. */
  readonly operator_message?: string;
};
export type Decision = Permit | StepUp | Deny;

/**
 * Whether a call may run now, may run once people approve, or may not run (design §6). Two sets are asked: `full`, whether
 * it may run as things are; and only if not, `base`, the same without gates: whether approval could change that. A call
 * that nobody could permit is thus a denial and never bothers a person. Whatever is unknown or fails is a denial.
 */
export function decideCall(engine: PolicyEngine, policy: CompiledPolicy, request: CallRequest): Decision {
  const question = prepare(policy, request);
  if ('kind' in question) return question;
  const full = engine.evaluate(policy.sets, 'full', question);
  if (full.kind === 'allowed')
    return (isApproved(request) && refuseUndeclared(policy, request)) || permit(policy, full);
  if (full.kind !== 'not_allowed') return couldNotDecide(policy, full);
  const base = engine.evaluate(policy.sets, 'base', question);
  if (base.kind === 'not_allowed') return denied(policy, base.determining);
  if (base.kind !== 'allowed') return couldNotDecide(policy, base);
  const gates = full.determining.map((id) => policy.gates.get(id));
  const known = gates.filter((gate) => gate !== undefined);
  if (known.length === 0 || known.length < gates.length) return denied(policy, full.determining);
  return refuseUndeclared(policy, request) ?? stepUp(policy, full, combineGates(known));
}

/** What no policy can change is settled before Cedar is asked. */
function prepare(policy: CompiledPolicy, request: CallRequest): Deny | CedarQuestion {
  if (request.server !== policy.server) {
    return deny(policy, 'policy_unavailable', 'The policy at hand is not the one of this tool server.');
  }
  switch (request.action) {
    case 'read':
    case 'prompt':
      return cedarQuestion(request, 'critical', {}, policy.reads);
    case 'call':
      return prepareCall(policy, request);
    default:
      return deny(policy, 'method_not_allowed', 'No policy speaks about this kind of request.');
  }
}

function prepareCall(policy: CompiledPolicy, request: CallRequest): Deny | CedarQuestion {
  const tool = policy.tools.get(request.target);
  if (tool === undefined) return deny(policy, 'tool_unknown', 'This tool server lists no such tool.');
  if (!request.task.tools.includes(request.target)) {
    return deny(policy, 'tool_not_in_task', 'The task does not include this tool.');
  }
  const input = policy.projectArguments(request.target, request.arguments);
  if (!input.ok) return deny(policy, 'policy_denied', input.refusal.message);
  return cedarQuestion(request, tool.risk, input.value, policy.reads);
}

function isApproved(request: CallRequest): boolean {
  return request.approvals.length > 0;
}

/** A person approves what the schema lets them understand; a gated call may carry nothing else (design §3). */
function refuseUndeclared(policy: CompiledPolicy, request: CallRequest): Deny | undefined {
  const schema = policy.tools.get(request.target)?.definition.inputSchema;
  const pointers =
    request.action === 'call' && schema !== undefined ? undeclaredArguments(schema, request.arguments) : [];
  if (pointers.length === 0) return undefined;
  const list = pointers.map((pointer) => JSON.stringify(pointer)).join(', ');
  return deny(policy, 'arguments_undeclared', `The schema of the tool does not declare ${list}.`);
}

type Allowed = Extract<Evaluation, { readonly kind: 'allowed' }>;
type NotAllowed = Extract<Evaluation, { readonly kind: 'not_allowed' }>;

function permit(policy: CompiledPolicy, { determining }: Allowed): Permit {
  return { kind: 'permit', policy_version: policy.version, determining };
}

function stepUp(policy: CompiledPolicy, { determining }: NotAllowed, requirements: Requirements): StepUp {
  return { kind: 'step_up', policy_version: policy.version, determining, requirements };
}

function denied(policy: CompiledPolicy, determining: readonly string[]): Deny {
  const reasons = determining.map((id) => policy.reasons.get(id) ?? `Policy "${id}" forbids it.`);
  const message = determining.length === 0 ? 'No policy permits this.' : reasons.join(' ');
  return deny(policy, 'policy_denied', message, determining);
}

function couldNotDecide(
  policy: CompiledPolicy,
  evaluation: Extract<Evaluation, { readonly kind: 'failed' | 'unavailable' }>,
): Deny {
  if (evaluation.kind === 'unavailable') {
    const message = 'The policy could not be evaluated, so nothing was permitted.';
    return { ...deny(policy, 'policy_unavailable', message), operator_message: evaluation.message };
  }
  const names = evaluation.determining.map((id) => `"${id}"`).join(', ');
  const message = `Policy ${names} cannot be evaluated for these arguments, so the call is refused.`;
  return {
    ...deny(policy, 'policy_denied', message, evaluation.determining),
    operator_message: evaluation.message,
  };
}

function deny(policy: CompiledPolicy, code: RefusalCode, message: string, determining: readonly string[] = []): Deny {
  return { kind: 'deny', policy_version: policy.version, code, message, determining };
}
