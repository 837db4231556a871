import { expect, test } from 'vitest';
import { combineGates, type Gate } from '../../src/policy/requirements.ts';

const gate = (name: string, changes: Partial<Gate> = {}): Gate => ({
  name,
  policy_id: name,
  why: name,
  approvers: ['requester'],
  quorum: 1,
  tier: 'standard',
  ttl_seconds: 300,
  max_uses: 1,
  timeout_seconds: 600,
  ...changes,
});

test('the strictest of several gates holds, whatever their order; quorums stay apart', () => {
  const gates = [
    gate('b', { tier: 'critical', ttl_seconds: 900, max_uses: 5, quorum: 2, approvers: ['group:finance'] }),
    gate('a', { tier: 'passkey', ttl_seconds: 60, max_uses: 9, timeout_seconds: 30 }),
  ];
  const expected = {
    gates: [
      { name: 'a', policy_id: 'a', why: 'a', approvers: ['requester'], quorum: 1 },
      { name: 'b', policy_id: 'b', why: 'b', approvers: ['group:finance'], quorum: 2 },
    ],
    tier: 'critical',
    ttl_seconds: 60,
    max_uses: 5,
    timeout_seconds: 30,
  };
  expect(combineGates(gates)).toEqual(expected);
  expect(combineGates(gates.toReversed())).toEqual(expected);
});

test('a gate counts once, and no gate at all is a bug of the caller', () => {
  expect(combineGates([gate('a'), gate('a')]).gates).toHaveLength(1);
  expect(() => combineGates([])).toThrow(TypeError);
});
