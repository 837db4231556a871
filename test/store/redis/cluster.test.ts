import { openRedisCluster, redisSettings } from '../../support/redis.ts';
import { redisContract } from './redis_contract.ts';

redisContract('a Redis Cluster', async () => {
  const { nodes, kill } = await openRedisCluster();
  // The others are found through the first.
  return { settings: redisSettings([nodes[0]!.port], { topology: 'cluster' }), stop: kill };
});
