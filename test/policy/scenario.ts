import type { JsonObject } from '../../src/kernel/json.ts';
import type { CallRequest, PersonFacts } from '../../src/policy/call_request.ts';
import { compilePolicy } from '../../src/policy/compile.ts';
import type { CompiledPolicy } from '../../src/policy/compiled_policy.ts';
import { loadPolicySet, type PolicySet } from '../../src/policy/policy_set.ts';
import { formatPolicyProblem } from '../../src/policy/problem.ts';
import type { ServerManifest } from '../../src/policy/schema.ts';
import type { RiskClass } from '../../src/wire/manifest.ts';

export const PERMIT_TASK_TOOLS = `
@id("tools-of-the-task")
permit (principal, action == Action::"call", resource)
when { context.task.tools.contains(resource) };
`;

/** A gate on one tool, with annotations beside the two that every gate needs. */
export function gateOn(id: string, tool: string, approvers: string, annotations = ''): string {
  return `
@id("${id}") @stepup("why ${id}") @approvers("${approvers}") ${annotations}
forbid (principal, action == Action::"call", resource)
when { resource.name == "${tool}" }
unless { context.approvals.contains("gate") };
`;
}

export function tool(name: string, properties: JsonObject, risk: RiskClass = 'read', annotations: JsonObject = {}) {
  return { definition: { name, annotations, inputSchema: { type: 'object', properties } }, risk };
}

/** Names with the signs that MCP allows and Cedar identifiers do not. */
export const BILLING: ServerManifest = {
  name: 'billing',
  tools: [
    tool('show-order', { order: { type: 'integer' } }),
    tool(
      'refund.create',
      { order: { type: 'integer' }, amount: { type: 'number' }, note: { type: 'string' } },
      'write',
    ),
    tool('order_delete', { order: { type: 'integer' } }, 'critical'),
  ],
};

export function setOf(text: string): PolicySet {
  const set = loadPolicySet([{ path: 'test.cedar', text }]);
  if (!set.ok) throw new Error(set.refusal.map(formatPolicyProblem).join('\n'));
  return set.value;
}

export function problemsOf(text: string): string[] {
  const set = loadPolicySet([{ path: 'test.cedar', text }]);
  return set.ok ? [] : set.refusal.map(formatPolicyProblem);
}

export function compiled(text: string, server: ServerManifest = BILLING): CompiledPolicy {
  const policy = compilePolicy(setOf(text), server);
  if (!policy.ok) throw new Error(policy.refusal.map(formatPolicyProblem).join('\n'));
  return policy.value;
}

export const ALICE: PersonFacts = { id: 'prs_alice', groups: ['support'], is_administrator: false };
export const OLIVER: PersonFacts = { id: 'prs_oliver', groups: [], is_administrator: true };

export function request(target: string, args: JsonObject = {}, changes: Partial<CallRequest> = {}): CallRequest {
  return {
    action: 'call',
    server: 'billing',
    target,
    arguments: args,
    agent: { id: 'agt_billing', name: 'Billing agent', kind: 'service', trust_zone: 'finance', owner: OLIVER },
    chain: ['agt_billing'],
    requester: ALICE,
    task: {
      id: 'tsk_1',
      purpose_code: 'support',
      tools: ['show-order', 'refund.create', 'order_delete', 'write_file', 'read_file'],
      depth: 0,
    },
    approvals: [],
    amr: ['pwd'],
    ...changes,
  };
}
