import type { PolicyJson } from '@cedar-policy/cedar-wasm/nodejs';
import { canonicalJson } from '../kernel/canonical_json.ts';
import { sha256Base64url } from '../kernel/digest.ts';
import type { Cedar } from './cedar_instance.ts';
import { type ExpressionFacts, isGateClause, scopedActions } from './expression.ts';
import { type Complaint, GATE_ANNOTATIONS, readGateTerms } from './gate_terms.ts';
import type { Gate } from './requirements.ts';
import type { PolicySource } from './source.ts';

/** What the author writes; the loader puts the gate's own name in its place. */
const PLACEHOLDER = 'gate';
const CONDITION = 'unless { context.approvals.contains("gate") }';
const CONDITION_TOKENS = ['context', '.', 'approvals', '.', 'contains', '(', `"${PLACEHOLDER}"`, ')'];
const PLACEHOLDER_TOKEN = CONDITION_TOKENS.indexOf(`"${PLACEHOLDER}"`);

/** What can pause until people approve it. */
const GATED_ACTIONS: readonly string[] = ['call', 'read', 'prompt'];

/**
 * The gate in a policy; undefined when it is none, complaints when it pretends. Its name holds a hash of what it asks
 * for, so that approval of one gate never lifts another, nor the same one after it was changed (design §6).
 */
export function readGate(
  id: string,
  policy: PolicyJson,
  facts: ExpressionFacts,
): Gate | readonly Complaint[] | undefined {
  const annotations = policy.annotations ?? {};
  const isGate = annotations.stepup !== undefined;
  const complaints = annotationComplaints(annotations, policy.effect, isGate);
  const clauses = policy.conditions.filter((clause) => isGateClause(clause, PLACEHOLDER)).length;
  const otherUses = facts.approvalUses - clauses;
  if (isGate && policy.effect === 'permit') {
    const instead = `Make it a forbid with the condition ${CONDITION}.`;
    complaints.push({ message: '@stepup stands on a permit, where it would stop nothing.', instead });
  } else if (isGate && clauses !== 1) {
    const message = `A gate needs its condition exactly once; here it stands ${clauses} times.`;
    complaints.push({ message, instead: `End the policy with ${CONDITION}.` });
  } else if (!isGate && facts.approvalUses > 0) {
    const message = 'Only a gate may ask about approvals, and this policy has no @stepup.';
    complaints.push({ message, instead: 'Add @stepup("why") and @approvers("…"), or drop context.approvals.' });
  }
  const undecidable = isGate ? (scopedActions(policy) ?? []).filter((action) => !GATED_ACTIONS.includes(action)) : [];
  if (undecidable.length > 0) {
    const names = undecidable.map((action) => `"${action}"`).join(', ');
    const message = `This gate stands on ${names}, which no person is asked about yet: only calls can wait for approval.`;
    const instead = 'Make it a plain forbid with @reason, or put the gate on the calls that follow.';
    complaints.push({ message, instead });
  }
  if (isGate && otherUses > 0) {
    const message = 'This gate reads context.approvals outside its own condition.';
    complaints.push({ message, instead: `Use approvals only as ${CONDITION}.` });
  }
  if (!isGate || policy.effect === 'permit') return complaints.length > 0 ? complaints : undefined;
  const terms = readGateTerms(annotations);
  if (!('why' in terms)) return [...complaints, ...terms];
  if (complaints.length > 0) return complaints;
  const hash = sha256Base64url('countersign-gate/1', canonicalJson(annotations));
  return { ...terms, policy_id: id, name: `gate:${id}#${hash}` };
}

/**
 * The source with the gate's name in the condition, or undefined when it is not written in the one known way. It is
 * the text that is changed: Cedar reads its own JSON form only to a quarter of the nesting it reads as text.
 */
export function rewriteGate(cedar: Cedar, source: PolicySource, name: string): string | undefined {
  const { tokens } = source;
  const found = tokens.flatMap((_, index) =>
    CONDITION_TOKENS.every((text, offset) => tokens[index + offset]?.text === text) ? [index] : [],
  );
  if (found.length !== 1) return undefined;
  const { start, text } = tokens[found[0]! + PLACEHOLDER_TOKEN]!;
  const rewritten = source.text.slice(0, start) + JSON.stringify(name) + source.text.slice(start + text.length);
  const parsed = cedar.policyToJson(rewritten);
  const isLifted = parsed.type === 'success' && parsed.json.conditions.some((clause) => isGateClause(clause, name));
  return isLifted ? rewritten : undefined;
}

function annotationComplaints(
  annotations: Readonly<Record<string, string>>,
  effect: 'permit' | 'forbid',
  isGate: boolean,
): Complaint[] {
  const gateNames: readonly string[] = GATE_ANNOTATIONS;
  const names = Object.keys(annotations);
  if (isGate) {
    const known = ['id', ...gateNames];
    return names.filter((name) => !known.includes(name)).map((name) => unknownAnnotation(name, known));
  }
  const known = effect === 'forbid' ? ['id', 'reason'] : ['id'];
  return names
    .filter((name) => !known.includes(name))
    .map((name) =>
      gateNames.includes(name)
        ? { message: `@${name} belongs to a gate.`, instead: 'Add @stepup("why a person must look") or remove it.' }
        : unknownAnnotation(name, known),
    );
}

function unknownAnnotation(name: string, known: readonly string[]): Complaint {
  const list = known.map((one) => `@${one}`).join(', ');
  return { message: `@${name} is not an annotation that means anything here.`, instead: `Known here: ${list}.` };
}
