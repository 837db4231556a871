/** Why Redis cannot be used now; `busy` is our own limit of operations in flight. */
export type RedisOutageReason = 'unreachable' | 'no_answer' | 'full' | 'refused' | 'busy' | 'closed';

/** Redis cannot be used now. What became of the operation is unknown unless `reason` is `full`, `refused` or `busy`. */
export class RedisOutage extends Error {
  override readonly name = 'RedisOutage';
  readonly reason: RedisOutageReason;

  constructor(reason: RedisOutageReason, message: string) {
    super(message);
    this.reason = reason;
  }
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
