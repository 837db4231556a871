/** Redis cannot be used now: out of reach, no answer in time, full, read-only, loading, or closed by us. */
export class RedisOutage extends Error {
  override readonly name = 'RedisOutage';
}

/**
 * Redis answers, but does not hold this epoch's memory: another server process, a promoted replica, a restored dump, or
 * it was emptied. What was remembered may be gone or come back from the past: only a new epoch helps.
 */
export class MemoryLost extends Error {
  override readonly name = 'MemoryLost';
}

/** Redis must not be used as it is set up. The message names the setting to change. */
export class RedisPolicyError extends Error {
  override readonly name = 'RedisPolicyError';
}
