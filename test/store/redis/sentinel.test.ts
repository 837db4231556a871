import { RedisSentinel, SENTINEL_NAME } from '../../faults/redis_sentinel.ts';
import { redisSettings } from '../../support/redis.ts';
import { makeScratchDirectory } from '../../support/scratch.ts';
import { redisContract } from './redis_contract.ts';

redisContract('Redis with Sentinels', async () => {
  const redis = await RedisSentinel.open(await makeScratchDirectory('sentinel'));
  const settings = redisSettings(redis.sentinels, { topology: 'sentinel', sentinelName: SENTINEL_NAME });
  return { settings, stop: () => redis.close() };
});
