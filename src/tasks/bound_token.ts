import { boundRisks, type DpopRules } from '../model/federation.ts';
import type { RiskClass } from '../wire/manifest.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { CallChain } from './principal.ts';

/**
 * Why this call needs a token that is bound to a key (RFC 9449); undefined if it does not, or has one. Asked with every call,
 * too: the rule may be younger than the token, and the class of the tool as well.
 */
export function unboundProblem(
  chain: Pick<CallChain, 'jkt' | 'agent'>,
  risk: RiskClass | undefined,
  rules: DpopRules,
): Refusal | undefined {
  if (chain.jkt !== null) return undefined;
  if (chain.agent.dpop_required) {
    return refusal('dpop_required', 'This agent has tokens bound to a key only (DPoP), and this one is not.');
  }
  if (risk === undefined || !boundRisks(rules).includes(risk)) return undefined;
  return refusal(
    'dpop_required',
    `A tool of the class ${risk} needs a token bound to a key (DPoP), and this one is not.`,
  );
}
