import { describe, expect, test } from 'vitest';
import { decideCall } from '../../src/policy/decide.ts';
import { decideDelegation } from '../../src/policy/decide_delegation.ts';
import { PolicyEngine } from '../../src/policy/engine.ts';
import { ALICE, compiled, OLIVER, problemsOf, request } from './scenario.ts';

const engine = new PolicyEngine();

const SUPPORT = { id: 'agt_support', name: 'Support', kind: 'interactive', trust_zone: 'desk', owner: ALICE } as const;
const BILLER = { id: 'agt_biller', name: 'Biller', kind: 'service', trust_zone: 'finance', owner: OLIVER } as const;

const asked = {
  server: 'billing',
  from: SUPPORT,
  to: BILLER,
  requester: ALICE,
  task: { id: 'tsk_1', purpose_code: 'support', depth: 1, tools: ['show-order', 'refund.create'] },
  tools: ['show-order'],
  chain: ['agt_first', 'agt_support'],
  amr: ['hwk'],
};

const permitWhen = (condition: string) =>
  compiled(
    `@id("p") permit (principal is Agent, action == Action::"delegate", resource is Agent) when { ${condition} };`,
  );
const decide = (condition: string, changes: Partial<typeof asked> = {}) =>
  decideDelegation(engine, permitWhen(condition), { ...asked, ...changes }).kind;

describe('a policy on delegation', () => {
  test.each([
    'principal.name == "Support" && resource.name == "Biller"',
    'principal.trust_zone == "desk" && resource.trust_zone == "finance"',
    'principal.kind == "interactive" && resource.kind == "service"',
    'principal.owner == context.requester && resource.owner.is_administrator',
    'context.requester in Group::"support"',
    'context.task.purpose_code == "support"',
    'context.server == ToolServer::"billing"',
    'context.tools.contains(Tool::"billing/show-order")',
    'context.tools == [Tool::"billing/show-order"]',
    'context.task.tools.containsAll(context.tools)',
    'context.risks == ["read"]',
    'context.depth == 2 && context.task.depth == 1',
    'context.chain.contains(Agent::"agt_first")',
    'context.amr.contains("hwk")',
  ])('can ask whether %s', (condition) => {
    expect(decide(condition)).toBe('permit');
    expect(decide(`!(${condition})`)).toBe('deny');
  });

  test('sees the classes of the tools that are handed on, and the highest for one that nobody classed', () => {
    expect(decide('context.risks.contains("write")', { tools: ['show-order', 'refund.create'] })).toBe('permit');
    expect(decide('context.risks.contains("critical")', { tools: ['unheard-of'] })).toBe('permit');
  });

  test('is about another action than calls: what permits calls permits no delegation', () => {
    const policy = compiled('@id("p") permit (principal, action == Action::"call", resource);');
    expect(decideDelegation(engine, policy, asked)).toMatchObject({
      kind: 'deny',
      code: 'policy_denied',
      message: 'No policy lets this agent hand work to that one.',
    });
  });

  test('refuses with the reason of its forbid', () => {
    const policy = compiled(`
      @id("open") permit (principal, action == Action::"delegate", resource);
      @id("zones") @reason("Not across zones.")
      forbid (principal is Agent, action == Action::"delegate", resource is Agent)
      when { principal.trust_zone != resource.trust_zone };`);
    expect(decideDelegation(engine, policy, asked)).toMatchObject({
      kind: 'deny',
      message: 'Not across zones.',
      determining: ['zones'],
    });
    expect(decideDelegation(engine, policy, { ...asked, to: { ...BILLER, trust_zone: 'desk' } }).kind).toBe('permit');
  });

  test('that fails is a denial: the forbid that could not be evaluated may have been the one', () => {
    const policy = compiled(`
      @id("open") permit (principal, action == Action::"delegate", resource);
      @id("broken") forbid (principal is Agent, action == Action::"delegate", resource is Agent)
      when { context.depth * 4611686018427387904 > 1 };`);
    expect(decideDelegation(engine, policy, { ...asked, task: { ...asked.task, depth: 3 } })).toMatchObject({
      kind: 'deny',
      determining: ['broken'],
    });
  });

  test('of another tool server decides nothing here', () => {
    expect(decide('true', { server: 'files' })).toBe('deny');
  });
});

test.each(['principal.trust_zone == "finance"', 'context.chain.contains(Agent::"agt_first")'])(
  'a policy on calls can ask whether %s',
  (condition) => {
    const policy = compiled(`
      @id("p") permit (principal, action == Action::"call", resource) when { ${condition} };`);
    const call = request('show-order', {}, { chain: ['agt_first', 'agt_billing'] });
    expect(decideCall(engine, policy, call).kind).toBe('permit');
    const elsewhere = request('show-order', {}, { agent: { ...call.agent, trust_zone: '' }, chain: ['agt_billing'] });
    expect(decideCall(engine, policy, elsewhere).kind).toBe('deny');
  },
);

describe('a gate on delegation', () => {
  const gate = (action: string) => `
    @id("g") @stepup("why") @approvers("requester")
    forbid (principal, action ${action}, resource) unless { context.approvals.contains("gate") };`;

  test.each(['== Action::"delegate"', 'in [Action::"call", Action::"delegate"]', '== Action::"start_task"'])(
    'is refused at load: action %s',
    (action) => {
      expect(problemsOf(gate(action))).toEqual([
        expect.stringMatching(/stands on "(delegate|start_task)", which no person is asked about yet.*plain forbid/),
      ]);
    },
  );

  test.each(['== Action::"call"', 'in [Action::"read", Action::"prompt"]'])('is none on action %s', (action) => {
    expect(problemsOf(gate(action))).toEqual([]);
  });
});
