import { Leases } from '../api/leases.ts';
import { createLogFollower } from '../events/follow.ts';
import { REVOKING_KINDS } from '../events/revocations.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { Store } from '../store/store.ts';

/** Follows the sealed log for all guards that will ask this process. Rejects if PostgreSQL does not answer. */
export async function startLeases(
  store: Store,
  keyring: Keyring,
  log: Logger,
): Promise<{ readonly leases: Leases; stop(): Promise<void> }> {
  const follower = createLogFollower(store, log, { kinds: REVOKING_KINDS });
  const leases = new Leases({
    follower,
    signer: () => keyring.signer('lease'),
    keys: () => keyring.published('token').map((key) => key.kid!),
    refreshKeys: keyring.refresh,
    log,
    noncesRequired: store.rules.dpop.noncesRequired,
  });
  keyring.onChange(() => leases.keysChanged());
  await follower.start();
  return { leases, stop: () => follower.stop() };
}
