import { expect, test } from 'vitest';
import { decideCall } from '../../src/policy/decide.ts';
import { PolicyEngine } from '../../src/policy/engine.ts';
import { compiled, PERMIT_TASK_TOOLS, request } from './scenario.ts';

test('a policy that breaks Cedar while it decides is a denial, and the next call is decided as ever', () => {
  const engine = new PolicyEngine();
  const healthy = compiled(PERMIT_TASK_TOOLS);
  // No loader lets this through; it stands for the next limit of Cedar that nobody knows yet.
  const terms = Array.from({ length: 420 }, (_, n) => `principal == Agent::"${n}"`).join(' || ');
  const text = `forbid (principal, action, resource) when { ${terms} };`;
  const breaking = { ...healthy, sets: { ...healthy.sets, full: { ...healthy.sets.full, breaking: text } } };
  expect(decideCall(engine, healthy, request('show-order')).kind).toBe('permit');
  for (const traps of [1, 2]) {
    const decision = decideCall(engine, breaking, request('show-order'));
    expect(decision).toMatchObject({
      kind: 'deny',
      code: 'policy_unavailable',
      operator_message: expect.stringContaining('Cedar broke'),
    });
    expect(engine.traps).toBe(traps);
    expect(decideCall(engine, healthy, request('show-order')).kind).toBe('permit');
  }
});

test('what the agent hears of a broken engine holds nothing of its inside', () => {
  const healthy = compiled(PERMIT_TASK_TOOLS);
  const broken = { ...healthy, sets: { ...healthy.sets, full: { a: 'not a policy' } } };
  const decision = decideCall(new PolicyEngine(), broken, request('show-order'));
  expect(decision).toMatchObject({
    kind: 'deny',
    code: 'policy_unavailable',
    message: 'The policy could not be evaluated, so nothing was permitted.',
  });
});

test('a fixed number of places goes round among more compiled sets than there are places', () => {
  const engine = new PolicyEngine(2);
  const ids = ['a', 'b', 'c'];
  const sets = ids.map((id) => compiled(`@id("${id}") permit (principal, action, resource);`));
  for (let round = 0; round < 3; round += 1) {
    const answers = sets.map((policy) => decideCall(engine, policy, request('show-order')).determining);
    expect(answers).toEqual([['a'], ['b'], ['c']]);
  }
  // The one asked last keeps its place.
  expect(decideCall(engine, sets[2]!, request('show-order')).determining).toEqual(['c']);
  expect(engine.traps).toBe(0);
});
