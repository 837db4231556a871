import { describe, expect, test } from 'vitest';
import { decideCall } from '../../src/policy/decide.ts';
import { PolicyEngine } from '../../src/policy/engine.ts';
import { compiled, gateOn, PERMIT_TASK_TOOLS, request } from './scenario.ts';

const engine = new PolicyEngine();
const gated = compiled(PERMIT_TASK_TOOLS + gateOn('refunds', 'refund.create', 'group:finance'));
const refund = (changes = {}) => request('refund.create', { order: 1182, amount: 240.5 }, changes);

function gateNames(policy: typeof gated): string[] {
  return [...policy.gates.values()].map((gate) => gate.name);
}

describe('the three answers', () => {
  test('a call that a permit covers and no forbid touches runs', () => {
    expect(decideCall(engine, gated, request('show-order', { order: 1 }))).toEqual({
      kind: 'permit',
      policy_version: gated.version,
      determining: ['tools-of-the-task'],
    });
  });

  test('a gated call asks for approval and says of whom', () => {
    const decision = decideCall(engine, gated, refund());
    expect(decision).toMatchObject({
      kind: 'step_up',
      policy_version: gated.version,
      determining: ['refunds'],
      requirements: {
        gates: [{ policy_id: 'refunds', why: 'why refunds', approvers: ['group:finance'], quorum: 1 }],
        tier: 'standard',
        ttl_seconds: 300,
        max_uses: 1,
        timeout_seconds: 600,
      },
    });
  });

  test('a gated call runs once its own gate is approved', () => {
    expect(decideCall(engine, gated, refund({ approvals: gateNames(gated) })).kind).toBe('permit');
  });

  test('a gate does not make a call possible that nothing permits', () => {
    const onlyGate = compiled(gateOn('refunds', 'refund.create', 'group:finance'));
    expect(decideCall(engine, onlyGate, refund())).toMatchObject({
      kind: 'deny',
      code: 'policy_denied',
      determining: [],
    });
  });

  test('a forbid that is no gate wins over a gate, and tells its reason', () => {
    const forbid = `@id("no-refunds") @reason("Refunds are closed this week.")
      forbid (principal, action == Action::"call", resource) when { resource.name == "refund.create" };`;
    const policy = compiled(PERMIT_TASK_TOOLS + gateOn('refunds', 'refund.create', 'owner') + forbid);
    expect(decideCall(engine, policy, refund({ approvals: gateNames(policy) }))).toMatchObject({
      kind: 'deny',
      code: 'policy_denied',
      message: 'Refunds are closed this week.',
      determining: ['no-refunds'],
    });
  });
});

describe('what is denied before any policy is asked', () => {
  const everything = compiled('@id("all") permit (principal, action, resource);');

  test('a tool the manifest does not list', () => {
    const call = request('drop.tables', {}, { task: { ...refund().task, tools: ['drop.tables'] } });
    expect(decideCall(engine, everything, call)).toMatchObject({ kind: 'deny', code: 'tool_unknown' });
  });

  test('a tool that is not in the task, even where a policy permits everything', () => {
    const call = refund({ task: { ...refund().task, tools: ['show-order'] } });
    expect(decideCall(engine, everything, call)).toMatchObject({ kind: 'deny', code: 'tool_not_in_task' });
  });

  test('an action nobody knows', () => {
    const call = { ...refund(), action: 'tasks/cancel' as 'call' };
    expect(decideCall(engine, everything, call)).toMatchObject({ kind: 'deny', code: 'method_not_allowed' });
  });

  test('a call for another tool server than the policy was compiled for', () => {
    const call = { ...refund(), server: 'files' };
    expect(decideCall(engine, everything, call)).toMatchObject({ kind: 'deny', code: 'policy_unavailable' });
  });
});

describe('several gates', () => {
  const sre = gateOn('by-sre', 'refund.create', 'group:sre', '@ttl("PT2M") @max_uses("3") @timeout("PT1H")');
  const finance = gateOn('by-finance', 'refund.create', 'group:sre', '@quorum("2") @tier("passkey") @max_uses("5")');
  const policy = compiled(PERMIT_TASK_TOOLS + sre + finance);

  test('combine: each its own approvers, and the strictest of the rest', () => {
    const decision = decideCall(engine, policy, refund());
    expect(decision).toMatchObject({
      kind: 'step_up',
      determining: ['by-finance', 'by-sre'],
      requirements: {
        gates: [
          { policy_id: 'by-finance', quorum: 2 },
          { policy_id: 'by-sre', quorum: 1 },
        ],
        tier: 'passkey',
        ttl_seconds: 120,
        max_uses: 3,
        timeout_seconds: 600,
      },
    });
  });

  test('approving one never lifts the other, though both name the same group', () => {
    for (const [approved, open] of [
      ['by-sre', 'by-finance'],
      ['by-finance', 'by-sre'],
    ] as const) {
      const approvals = [policy.gates.get(approved)!.name];
      expect(decideCall(engine, policy, refund({ approvals }))).toMatchObject({ kind: 'step_up', determining: [open] });
    }
    expect(decideCall(engine, policy, refund({ approvals: gateNames(policy) })).kind).toBe('permit');
  });

  test('neither the placeholder, a group, a policy id nor a prefix of the name lifts a gate', () => {
    const name = gateNames(policy)[0]!;
    const approvals = ['gate', 'group:sre', 'sre', 'by-sre', 'by-finance', name.slice(0, -1), name.toUpperCase()];
    expect(decideCall(engine, policy, refund({ approvals }))).toMatchObject({ determining: ['by-finance', 'by-sre'] });
  });

  test('an approval does not outlive a change of what the gate asks for', () => {
    const stricter = compiled(PERMIT_TASK_TOOLS + gateOn('refunds', 'refund.create', 'group:finance', '@quorum("2")'));
    expect(decideCall(engine, stricter, refund({ approvals: gateNames(gated) })).kind).toBe('step_up');
  });
});

describe('policies that fail', () => {
  test('a forbid that errors on these arguments denies, though Cedar itself would skip it', () => {
    const overflowing = `@id("overflows") forbid (principal, action == Action::"call", resource)
      when { context.input has order && context.input.order * 9007199254740991 < 0 };`;
    const policy = compiled(PERMIT_TASK_TOOLS + overflowing);
    expect(decideCall(engine, policy, request('show-order', { order: 1 })).kind).toBe('permit');
    const decision = decideCall(engine, policy, request('show-order', { order: 9007199254740991 }));
    expect(decision).toMatchObject({ kind: 'deny', code: 'policy_denied', determining: ['overflows'] });
  });
});

describe('resources and prompts', () => {
  const policy = compiled(`
    @id("read") permit (principal, action == Action::"read", resource == ToolServer::"billing")
    when { context.uri like "orders://*" && context.task.servers.contains(resource) };
    @id("read-gate") @stepup("Somebody's order.") @approvers("owner")
    forbid (principal, action == Action::"read", resource) when { context.uri like "*/private/*" }
    unless { context.approvals.contains("gate") };
    @id("prompt") permit (principal, action == Action::"prompt", resource) when { context.name == "greet" };`);
  const read = (uri: string, changes = {}) => request(uri, {}, { action: 'read', ...changes });

  test('are decided by address and name, and can be gated', () => {
    expect(decideCall(engine, policy, read('orders://1')).kind).toBe('permit');
    expect(decideCall(engine, policy, read('orders://private/1')).kind).toBe('step_up');
    expect(decideCall(engine, policy, read('file:///etc/passwd')).kind).toBe('deny');
    expect(decideCall(engine, policy, request('greet', {}, { action: 'prompt' })).kind).toBe('permit');
    expect(decideCall(engine, policy, request('other', {}, { action: 'prompt' })).kind).toBe('deny');
  });

  test('are closed to a task that uses no tool of this server', () => {
    const elsewhere = { ...refund().task, tools: [] };
    expect(decideCall(engine, policy, read('orders://1', { task: elsewhere })).kind).toBe('deny');
  });
});

test('people, groups and owners are facts a policy can ask for', () => {
  const policy = compiled(`
    @id("support") permit (principal, action == Action::"call", resource)
    when { context.requester in Group::"support" && principal.owner.is_administrator
      && principal.kind == "service" && context.task.purpose_code == "support" && context.amr.contains("pwd")
      && context.task.requester == context.requester && context.task.depth < 2 };`);
  expect(decideCall(engine, policy, refund()).kind).toBe('permit');
  const other = { id: 'prs_bob', groups: ['sales'], is_administrator: true };
  expect(decideCall(engine, policy, refund({ requester: other })).kind).toBe('deny');
  expect(decideCall(engine, policy, refund({ task: { ...refund().task, depth: 2 } })).kind).toBe('deny');
});

test('what a policy asks of the task as a whole is handed over, though most policies ask for one tool', () => {
  const policy = compiled(`@id("narrow") permit (principal, action == Action::"call", resource)
    when { context.task.tools.contains(resource) && context.task.tools.contains(Tool::"billing/order_delete") };`);
  expect(decideCall(engine, policy, refund()).kind).toBe('permit');
  const narrow = { ...refund().task, tools: ['refund.create'] };
  expect(decideCall(engine, policy, refund({ task: narrow })).kind).toBe('deny');
});
