import { describe, expect, it } from 'vitest';
import { holdsEpoch, isSteady, type MemoryEpoch, recoveryFrom, setbacksAfter } from '../../../src/store/place/epoch.ts';
import { memoryFailureOf } from '../../../src/store/place/failure.ts';
import { REDIS_SETBACKS_MAX } from '../../../src/store/place/limits.ts';
import { MemoryLost, RedisOutage, RedisPolicyError } from '../../../src/store/redis/errors.ts';

const epoch = (id: string, place: 'redis' | 'postgres', sinceSeconds = 0): MemoryEpoch => ({
  id,
  place,
  since: new Date(sinceSeconds * 1000),
  servers: place === 'redis' ? ['r1'] : [],
});

describe('recovery', () => {
  it('adopts what another server has begun, whatever failed here', () => {
    for (const failure of ['outage', 'lost'] as const) {
      for (const place of ['redis', 'postgres'] as const) {
        expect(recoveryFrom(epoch('a', 'redis'), epoch('b', place), failure)).toEqual({ step: 'adopt' });
      }
    }
  });

  it('begins anew where the memory was lost, and in PostgreSQL when its place does not answer', () => {
    const [redis, postgres] = [epoch('a', 'redis'), epoch('a', 'postgres')];
    expect(recoveryFrom(redis, redis, 'lost')).toEqual({ step: 'begin', place: 'redis' });
    expect(recoveryFrom(redis, redis, 'outage')).toEqual({ step: 'begin', place: 'postgres' });
    expect(recoveryFrom(postgres, postgres, 'lost')).toEqual({ step: 'begin', place: 'postgres' });
  });
});

describe('the way back to Redis', () => {
  it('is free after five seconds of answers, and takes twice as long after each return that did not last', () => {
    expect(isSteady(4_999, 0)).toBe(false);
    expect(isSteady(5_000, 0)).toBe(true);
    expect(isSteady(5_000, 1)).toBe(true);
    expect(isSteady(9_999, 2)).toBe(false);
    expect(isSteady(10_000, 2)).toBe(true);
    let setbacks = 0;
    for (let round = 0; round < 20; round += 1) {
      setbacks = setbacksAfter(epoch('a', 'redis', round * 10), epoch('b', 'postgres', round * 10 + 5), setbacks);
      setbacks = setbacksAfter(epoch('b', 'postgres', round * 10 + 5), epoch('c', 'redis', round * 10 + 10), setbacks);
    }
    expect(setbacks).toBe(REDIS_SETBACKS_MAX);
    expect(setbacksAfter(epoch('a', 'redis', 0), epoch('b', 'postgres', 60), setbacks)).toBe(0);
  });

  it('tells the servers that hold an epoch from any others', () => {
    const held = { ...epoch('a', 'redis'), servers: ['r1', 'r2', 'r3'] };
    expect(holdsEpoch(held, ['r1', 'r2', 'r3'])).toBe(true);
    expect(holdsEpoch(held, ['r1', 'r2', 'r4'])).toBe(false);
    expect(holdsEpoch(held, ['r1', 'r2'])).toBe(false);
    expect(holdsEpoch(held, ['r1', 'r2', 'r3', 'r4'])).toBe(false);
  });
});

it('takes for a failure of the place only what another place would cure', () => {
  expect(memoryFailureOf(new MemoryLost('x'))).toBe('lost');
  for (const reason of ['unreachable', 'no_answer', 'full', 'refused'] as const) {
    expect(memoryFailureOf(new RedisOutage(reason, 'x'))).toBe('outage');
  }
  expect(memoryFailureOf(new RedisPolicyError('x'))).toBe('outage');
  for (const other of [new RedisOutage('closed', 'x'), new RedisOutage('busy', 'x'), new RangeError('a key'), 'x']) {
    expect(memoryFailureOf(other)).toBeUndefined();
  }
});
