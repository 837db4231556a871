import { redisSettings, TestRedis } from '../../support/redis.ts';
import { redisContract } from './redis_contract.ts';

redisContract('a single Redis', async () => {
  const redis = await TestRedis.open();
  return { settings: redisSettings([redis.port], { database: 3 }), stop: () => redis.kill() };
});
