import type { RiskClass } from '../wire/manifest.ts';
import type { RefusalCode } from '../wire/refusals.ts';
import { type CallRequest, type CedarQuestion, cedarQuestion } from './call_request.ts';
import type { CompiledPolicy } from './compiled_policy.ts';
import type { Evaluation, PolicyEngine } from './engine.ts';
import type { ProjectedArguments } from './project_arguments.ts';
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
  const prepared = prepare(policy, request);
  if ('kind' in prepared) return prepared;
  const { question, undeclared } = prepared;
  const full = engine.evaluate(policy.sets, 'full', question);
  if (full.kind === 'allowed') {
    const isGated = request.approvals.length > 0;
    return isGated && undeclared.length > 0
      ? undeclaredArguments(policy, undeclared)
      : permit(policy, full.determining);
  }
  if (full.kind !== 'not_allowed') return couldNotDecide(policy, full);
  const base = engine.evaluate(policy.sets, 'base', question);
  if (base.kind === 'not_allowed') return denied(policy, base.determining);
  if (base.kind !== 'allowed') return couldNotDecide(policy, base);
  const gates = full.determining.map((id) => policy.gates.get(id));
  const known = gates.filter((gate) => gate !== undefined);
  if (known.length === 0 || known.length < gates.length) return denied(policy, full.determining);
  if (undeclared.length > 0) return undeclaredArguments(policy, undeclared);
  const requirements = combineGates(known);
  return { kind: 'step_up', requirements, policy_version: policy.version, determining: full.determining };
}

/** What no policy can change is settled before Cedar is asked. */
function prepare(
  policy: CompiledPolicy,
  request: CallRequest,
): Deny | { question: CedarQuestion; undeclared: readonly string[] } {
  if (request.server !== policy.server) {
    return deny(policy, 'policy_unavailable', 'The policy at hand is not the one of this tool server.');
  }
  switch (request.action) {
    case 'read':
    case 'prompt':
      return { question: cedarQuestion(request, 'critical', {}, policy.reads), undeclared: [] };
    case 'call': {
      const risk = policy.tools.get(request.target);
      if (risk === undefined) return deny(policy, 'tool_unknown', 'This tool server lists no such tool.');
      if (!request.task.tools.includes(request.target)) {
        return deny(policy, 'tool_not_in_task', 'The task does not include this tool.');
      }
      return prepareCall(policy, request, risk);
    }
    default:
      return deny(policy, 'method_not_allowed', 'No policy speaks about this kind of request.');
  }
}

function prepareCall(
  policy: CompiledPolicy,
  request: CallRequest,
  risk: RiskClass,
): Deny | ({ question: CedarQuestion } & ProjectedArguments) {
  const projected = policy.projectArguments(request.target, request.arguments);
  if (!projected.ok) return deny(policy, 'policy_denied', projected.refusal.message);
  return { question: cedarQuestion(request, risk, projected.value.input, policy.reads), ...projected.value };
}

function permit(policy: CompiledPolicy, determining: readonly string[]): Permit {
  return { kind: 'permit', policy_version: policy.version, determining };
}

function denied(policy: CompiledPolicy, determining: readonly string[]): Deny {
  const reasons = determining.map((id) => policy.reasons.get(id) ?? `Policy "${id}" forbids it.`);
  const message = determining.length === 0 ? 'No policy permits this.' : reasons.join(' ');
  return deny(policy, 'policy_denied', message, determining);
}

function undeclaredArguments(policy: CompiledPolicy, pointers: readonly string[]): Deny {
  const list = pointers.map((pointer) => JSON.stringify(pointer)).join(', ');
  return deny(policy, 'arguments_undeclared', `The schema of the tool does not declare ${list}.`);
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
