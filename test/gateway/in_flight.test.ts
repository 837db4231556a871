import { expect, test } from 'vitest';
import { InFlightCalls } from '../../src/gateway/in_flight.ts';

test('a cancellation finds the one call of that principal with exactly that id', () => {
  const calls = new InFlightCalls();
  const mine = calls.add('ann', 1);
  const text = calls.add('ann', '1');
  const other = calls.add('bob', 1);
  expect(calls.cancel('ann', 1)).toBe(true);
  expect([mine, text, other].map(({ signal }) => signal.aborted)).toEqual([true, false, false]);
});

test('with two that match neither is cancelled, and a finished one no longer counts', () => {
  const calls = new InFlightCalls();
  const first = calls.add('ann', 1);
  const second = calls.add('ann', 1);
  expect(calls.cancel('ann', 1)).toBe(false);
  first.done();
  expect(calls.cancel('ann', 1)).toBe(true);
  expect([first.signal.aborted, second.signal.aborted]).toEqual([false, true]);
  second.done();
  expect(calls.cancel('ann', 1)).toBe(false);
});
