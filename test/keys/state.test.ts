import { describe, expect, test } from 'vitest';
import { configSchema } from '../../src/config.ts';
import { KEYS_STALE_SECONDS_MAX, overlapSeconds, SIGNED_SECONDS_MAX } from '../../src/keys/limits.ts';
import { inOrderOfUse, type KeyTimes, keyStateAt } from '../../src/keys/state.ts';
import {
  CLIENT_TOKEN_SECONDS_MAX,
  ID_TOKEN_SECONDS,
  INTERACTION_SECONDS,
  PROVIDER_SESSION_SECONDS,
} from '../../src/provider/limits.ts';

const at = (seconds: number) => new Date(1_800_000_000_000 + seconds * 1000);
const key = (changes: Partial<KeyTimes> = {}): KeyTimes => ({
  state: 'active',
  activates_at: at(60),
  retires_at: null,
  verifies_until: null,
  ...changes,
});
const retired = key({ state: 'retired', retires_at: at(120), verifies_until: at(500) });

describe('what a key is at a moment follows from its row', () => {
  test.each([
    ['published before it signs', key(), 59.999, 'published'],
    ['signing from that moment on', key(), 60, 'signing'],
    ['signing as long as no other does', key(), 1e9, 'signing'],
    ['published although its end is known', retired, 0, 'published'],
    ['signing until its successor does', retired, 119.999, 'signing'],
    ['retired from that moment on', retired, 120, 'retired'],
    ['retired while what it signed may live', retired, 499.999, 'retired'],
    ['ended from that moment on', retired, 500, 'ended'],
    [
      'ended at once if it never signed',
      key({ state: 'retired', retires_at: at(10), verifies_until: at(10) }),
      10,
      'ended',
    ],
    ['ended if nobody knows until when', key({ state: 'retired' }), 60, 'ended'],
    ['revoked whatever its times say', key({ state: 'revoked', verifies_until: at(500) }), 60, 'revoked'],
  ])('%s', (_, row, seconds, state) => {
    expect(keyStateAt(row, at(seconds))).toBe(state);
  });

  test('at every moment of a rotation exactly one key signs, and it comes first', () => {
    const before = key({ activates_at: at(0), state: 'retired', retires_at: at(60), verifies_until: at(400) });
    const after = key({ activates_at: at(60) });
    for (let seconds = 0; seconds < 600; seconds += 0.5) {
      const keys = [before, after];
      const signing = keys.filter((one) => keyStateAt(one, at(seconds)) === 'signing');
      expect(signing).toHaveLength(1);
      expect(inOrderOfUse(keys, at(seconds))[0]).toBe(signing[0]);
    }
  });
});

test('a retired key verifies longer than anything it signed can live', () => {
  const schema = configSchema.shape.access_token_seconds;
  expect(schema.safeParse(SIGNED_SECONDS_MAX.token).success).toBe(true);
  expect(schema.safeParse(SIGNED_SECONDS_MAX.token + 1).success).toBe(false);
  expect(SIGNED_SECONDS_MAX.token).toBeGreaterThanOrEqual(Math.max(CLIENT_TOKEN_SECONDS_MAX, ID_TOKEN_SECONDS));
  expect(SIGNED_SECONDS_MAX.cookie).toBeGreaterThanOrEqual(Math.max(PROVIDER_SESSION_SECONDS, INTERACTION_SECONDS));
  // A process that learns of the retirement last signs with the key for so long.
  for (const purpose of ['token', 'lease', 'cookie'] as const) {
    expect(overlapSeconds(purpose)).toBeGreaterThan(SIGNED_SECONDS_MAX[purpose] + KEYS_STALE_SECONDS_MAX);
  }
});
