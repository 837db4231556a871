import { expect, test } from 'vitest';
import { type LaneFacts, pickLane } from '../../src/guard/lanes/pick_lane.ts';

const FACTS: LaneFacts = {
  isScopeChallengeAllowed: false,
  wasChallenged: false,
  isStreaming: false,
  hasProgressToken: false,
  acceptsEventStream: true,
  isHoldingTooMany: false,
};

test.each([
  ['a client that declares nothing retries', {}, 'retry'],
  ['a browser client is challenged', { isScopeChallengeAllowed: true }, 'scope_challenge'],
  ['the challenge goes before the hold', { isScopeChallengeAllowed: true, hasProgressToken: true }, 'scope_challenge'],
  [
    'the resend after a challenge is not challenged again',
    { isScopeChallengeAllowed: true, wasChallenged: true },
    'retry',
  ],
  [
    'the resend after a challenge is held if it can be',
    { isScopeChallengeAllowed: true, wasChallenged: true, hasProgressToken: true },
    'hold',
  ],
  ['progress can be shown: hold', { hasProgressToken: true }, 'hold'],
  ['progress could not be sent', { hasProgressToken: true, acceptsEventStream: false }, 'retry'],
  ['the guard holds enough calls', { hasProgressToken: true, isHoldingTooMany: true }, 'retry'],
  [
    'inside a stream only an answer is left',
    { isScopeChallengeAllowed: true, isStreaming: true, hasProgressToken: true },
    'retry',
  ],
] as const)('%s', (_name, facts, lane) => {
  expect(pickLane({ ...FACTS, ...facts })).toBe(lane);
});
