import type { RefusalCode } from '../wire/refusals.ts';
import type { CompiledPolicy } from './compiled_policy.ts';
import type { Deny, Permit } from './decide.ts';
import { type DelegateRequest, delegateQuestion } from './delegate_request.ts';
import type { PolicyEngine } from './engine.ts';

type Asked = Omit<DelegateRequest, 'tools'> & {
  /** Names of what is handed on. */
  readonly tools: readonly string[];
};

/**
 * Whether work at one tool server may be handed on. There is nothing to approve here: a delegation is permitted now or it is
 * not (the loader refuses gates on it), and whatever is unknown or fails is a denial.
 */
export function decideDelegation(engine: PolicyEngine, policy: CompiledPolicy, asked: Asked): Permit | Deny {
  const deny = (code: RefusalCode, message: string, determining: readonly string[] = []): Deny => ({
    kind: 'deny',
    policy_version: policy.version,
    code,
    message,
    determining,
  });
  if (asked.server !== policy.server) {
    return deny('policy_unavailable', 'The policy at hand is not the one of this tool server.');
  }
  // A tool that nobody has classed, or not any more, has the highest class (design §2).
  const tools = asked.tools.map((name) => ({ name, risk: policy.tools.get(name)?.risk ?? ('critical' as const) }));
  const found = engine.evaluate(policy.sets, 'full', delegateQuestion({ ...asked, tools }));
  switch (found.kind) {
    case 'allowed':
      return { kind: 'permit', policy_version: policy.version, determining: found.determining };
    case 'not_allowed': {
      const reasons = found.determining.map((id) => policy.reasons.get(id) ?? `Policy "${id}" forbids it.`);
      const message = reasons.length === 0 ? 'No policy lets this agent hand work to that one.' : reasons.join(' ');
      return deny('policy_denied', message, found.determining);
    }
    case 'failed': {
      const message = 'A policy cannot be evaluated for this delegation, so nothing was handed on.';
      return { ...deny('policy_denied', message, found.determining), operator_message: found.message };
    }
    case 'unavailable': {
      const message = 'The policy could not be evaluated, so nothing was handed on.';
      return { ...deny('policy_unavailable', message), operator_message: found.message };
    }
  }
}
