import { expect, test } from 'vitest';
import type { DecisionPoint } from '../../src/guard/decision_point.ts';
import { IssuerOutage } from '../../src/guard/issuer_outage.ts';
import { WAIT_SECONDS_MAX } from '../../src/guard/limits.ts';
import { waitForStepUp } from '../../src/guard/wait.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { accepted } from '../../src/kernel/result.ts';
import type { StepUpState } from '../../src/wire/guard_api.ts';

/** A decision point that only waits: it gives these states, one per poll, and notes for how long it was asked. */
function pointThatSays(states: readonly (StepUpState | Error)[]): { point: DecisionPoint; asked: number[] } {
  const asked: number[] = [];
  const wait: DecisionPoint['wait'] = async (stepUpId, seconds) => {
    const state = states[Math.min(asked.length, states.length - 1)]!;
    asked.push(seconds);
    if (state instanceof Error) throw state;
    return accepted({ step_up_id: stepUpId, state, reason: null, expires_at: '', approval_url: '' });
  };
  return { point: { wait } as DecisionPoint, asked };
}

const options = (seconds: number, signal = new AbortController().signal) => ({
  untilMs: Date.now() + seconds * 1000 + 500,
  signal,
  log: silentLogger,
});

test('polls until it is decided, each time no longer than one poll may last', async () => {
  const { point, asked } = pointThatSays(['registered', 'open', 'open', 'approved']);
  expect((await waitForStepUp(point, 'stp_one', options(45)))?.state).toBe('approved');
  expect(asked).toEqual([WAIT_SECONDS_MAX, WAIT_SECONDS_MAX, WAIT_SECONDS_MAX, WAIT_SECONDS_MAX]);
});

test('gives up at the end of its time, and at once when nobody waits any more', async () => {
  expect(await waitForStepUp(pointThatSays(['open']).point, 'stp_one', options(0))).toBeNull();
  const { point, asked } = pointThatSays(['open']);
  expect(await waitForStepUp(point, 'stp_one', options(45, AbortSignal.abort()))).toBeNull();
  expect(asked).toHaveLength(0);
});

test('an outage of the server is waited out', async () => {
  const { point, asked } = pointThatSays([new IssuerOutage('down'), 'denied']);
  expect((await waitForStepUp(point, 'stp_one', options(10)))?.state).toBe('denied');
  expect(asked).toHaveLength(2);
});
