import { describe, expect, test } from 'vitest';
import { decideCall } from '../../src/policy/decide.ts';
import { PolicyEngine } from '../../src/policy/engine.ts';
import { loadPolicySet } from '../../src/policy/policy_set.ts';
import { readPolicyFolder } from '../../src/policy/read_folder.ts';
import type { RiskClass } from '../../src/wire/manifest.ts';
import { compiled, request, tool } from '../policy/scenario.ts';

const files = await readPolicyFolder('config/policies');
const text = files.ok ? files.value.map((file) => file.text).join('\n') : '';
const engine = new PolicyEngine();

// OpenClaw CVE-2026-32898: calls were approved because of a tool kind that the agent supplied.
const LIES = { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false, kind: 'read' };
const TRUTH = {
  readOnlyHint: false,
  destructiveHint: true,
  idempotentHint: false,
  openWorldHint: true,
  kind: 'delete',
};

function decisions(annotations: typeof LIES | typeof TRUTH, args = {}) {
  const classes: RiskClass[] = ['read', 'write', 'critical'];
  const tools = classes.map((risk) => tool(`t-${risk}`, { path: { type: 'string' } }, risk, annotations));
  const policy = compiled(text, { name: 'billing', tools });
  const task = { ...request('').task, tools: tools.map(({ definition }) => definition.name) };
  return tools.map(({ definition }) => decideCall(engine, policy, request(definition.name, args, { task })));
}

describe('T55: nothing an agent or a tool says about itself decides', () => {
  test('T55: readOnlyHint, destructiveHint and kind in the manifest change no decision', () => {
    expect(decisions(LIES)).toEqual(decisions(TRUTH));
    expect(decisions(LIES).map(({ kind }) => kind)).toEqual(['permit', 'step_up', 'step_up']);
  });

  test('T55: readOnlyHint, kind, risk and annotations among the arguments lift no gate', () => {
    const claims = { ...LIES, risk: 'read', annotations: LIES, _meta: LIES, approvals: ['gate'] };
    const [, write, critical] = decisions(TRUTH, claims);
    for (const decision of [write, critical]) {
      expect(decision).toMatchObject({ kind: 'deny', code: 'arguments_undeclared' });
    }
  });

  test('T55: a request that carries a risk of its own is decided by the class the owner set', () => {
    const policy = compiled(text, { name: 'billing', tools: [tool('write_file', {}, 'critical', LIES)] });
    const claiming = { ...request('write_file'), risk: 'read', kind: 'read', annotations: LIES };
    expect(decideCall(engine, policy, claiming)).toMatchObject({ kind: 'step_up', requirements: { tier: 'critical' } });
  });

  test('T55: no policy can ask for a hint, even if its author wants to', () => {
    const set = loadPolicySet([
      {
        path: 'hint.cedar',
        text: `@id("hint") permit (principal, action == Action::"call",
      resource) when { resource.readOnlyHint };`,
      },
    ]);
    expect(set.ok).toBe(true);
    expect(() =>
      compiled('@id("hint") permit (principal, action == Action::"call", resource) when { resource.readOnlyHint };'),
    ).toThrow(/readOnlyHint/);
  });
});
