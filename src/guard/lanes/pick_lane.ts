export type Lane = 'scope_challenge' | 'hold' | 'retry';

/** What is known of one call that must wait for a person. */
export interface LaneFacts {
  /** The server lets this client be challenged now: its browser trips work and no other challenge is open. */
  readonly isScopeChallengeAllowed: boolean;
  /** This principal was challenged for this very step-up: the call is the resend after it. */
  readonly wasChallenged: boolean;
  /** The answer is a stream already, so that no other status can be sent. */
  readonly isStreaming: boolean;
  /** The caller gave a progress token, and so has a reader for progress. */
  readonly hasProgressToken: boolean;
  readonly acceptsEventStream: boolean;
  /** This guard holds as many calls as it may. */
  readonly isHoldingTooMany: boolean;
}

/**
 * How one call waits (design §5). The lane changes only what the client sees; what approval needs never depends on it.
 * Retry is the floor: it works for every client that can make a call twice.
 */
export function pickLane(facts: LaneFacts): Lane {
  if (facts.isStreaming) return 'retry';
  if (facts.isScopeChallengeAllowed && !facts.wasChallenged) return 'scope_challenge';
  if (facts.hasProgressToken && facts.acceptsEventStream && !facts.isHoldingTooMany) return 'hold';
  return 'retry';
}
