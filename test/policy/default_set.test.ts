import { describe, expect, test } from 'vitest';
import { compilePolicy } from '../../src/policy/compile.ts';
import { decideCall } from '../../src/policy/decide.ts';
import { PolicyEngine } from '../../src/policy/engine.ts';
import { loadPolicySet } from '../../src/policy/policy_set.ts';
import { readPolicyFolder } from '../../src/policy/read_folder.ts';
import { BILLING, request } from './scenario.ts';

const files = await readPolicyFolder('config/policies');
if (!files.ok) throw new Error('config/policies cannot be read');
const engine = new PolicyEngine();

function defaultPolicy(extra = '') {
  if (!files.ok) throw new Error('unreachable');
  const set = loadPolicySet([...files.value, { path: 'extra.cedar', text: extra }]);
  if (!set.ok) throw new Error(JSON.stringify(set.refusal));
  const policy = compilePolicy(set.value, BILLING);
  if (!policy.ok) throw new Error(JSON.stringify(policy.refusal));
  return policy.value;
}

describe('the policies Countersign starts with', () => {
  const policy = defaultPolicy();

  test('fit any server without a warning', () => expect(policy.warnings).toEqual([]));

  test('let a reading tool of the task run', () => {
    expect(decideCall(engine, policy, request('show-order', { order: 1 })).kind).toBe('permit');
  });

  test('ask the requester before a writing tool runs, once and for five minutes', () => {
    expect(decideCall(engine, policy, request('refund.create', { order: 1 }))).toMatchObject({
      kind: 'step_up',
      requirements: {
        gates: [{ approvers: ['requester'], quorum: 1 }],
        tier: 'standard',
        ttl_seconds: 300,
        max_uses: 1,
      },
    });
  });

  test('ask for a passkey before a critical tool runs', () => {
    expect(decideCall(engine, policy, request('order_delete', { order: 1 }))).toMatchObject({
      kind: 'step_up',
      requirements: { gates: [{ approvers: ['requester', 'administrators'] }], tier: 'critical' },
    });
  });

  test('open resources and prompts within a task of this server only', () => {
    for (const action of ['read', 'prompt'] as const) {
      expect(decideCall(engine, policy, request('anything', {}, { action })).kind).toBe('permit');
      const task = { ...request('anything').task, tools: [] };
      expect(decideCall(engine, policy, request('anything', {}, { action, task })).kind).toBe('deny');
    }
  });
});

test('the examples in the comments work when the comment signs are removed', () => {
  if (!files.ok) throw new Error('unreachable');
  const text = files.value.find(({ path }) => path.endsWith('default.cedar'))!.text;
  const examples = text.slice(text.indexOf('Examples to copy')).split('\n').slice(1);
  const code = examples.filter((line) => /^\/\/ (?:@|forbid|when|unless)/.test(line)).map((line) => line.slice(3));
  const extra = code.join('\n').replaceAll('billing/refund', 'billing/refund.create');
  const policy = defaultPolicy(extra);
  expect(decideCall(engine, policy, request('refund.create', { amount: 5000 }))).toMatchObject({
    kind: 'step_up',
    determining: ['large-refunds-need-finance', 'writes-need-approval'],
    requirements: { tier: 'passkey' },
  });
});
