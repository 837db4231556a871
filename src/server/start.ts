import { startDelivery } from '../approvals/deliver.ts';
import { startExpiry } from '../approvals/expire.ts';
import type { Config } from '../config.ts';
import { loadCheckpointKey } from '../events/checkpoint_key.ts';
import { startSealer } from '../events/sealer.ts';
import type { Logger } from '../kernel/logger.ts';
import { createSafeFetch } from '../kernel/safe_fetch.ts';
import { openKeyring } from '../keys/keyring.ts';
import { RemoteKeySets } from '../keys/remote_key_sets.ts';
import { startTransmitting } from '../signals/transmit/transmit.ts';
import type { Store } from '../store/store.ts';
import { startTaskExpiry } from '../tasks/expire.ts';
import { startAgentUpkeep } from './agent_upkeep.ts';
import { openChannels } from './channels.ts';
import { readClientSecrets } from './client_secrets.ts';
import { createClosing } from './closing.ts';
import { createHttpApp } from './http_app.ts';
import { startLeases } from './leases.ts';
import { CLOSE_STEP_MS_MAX, FETCH_BYTES_MAX, FETCH_TIMEOUT_MS } from './limits.ts';
import { openFoundation } from './open_foundation.ts';
import { loadPolicyBook } from './policy.ts';
import { startPruning } from './prune.ts';
import { startServing } from './serving.ts';
import { openUpstream } from './upstream.ts';

export interface RunningServer {
  readonly issuer: string;
  readonly port: number;
  readonly store: Store;
  /** Public key of the audit log's checkpoints, for offline verification. */
  readonly verifierKey: string;
  stop(): Promise<void>;
}

export interface StartOptions {
  readonly config: Config;
  readonly log: Logger;
  /** The database is gone for good: end the process. */
  readonly onLost?: (error: Error) => void;
}

/** Builds and starts one server, from the stores up; what fails on the way closes what was opened before it. */
export async function startServer({ config, log, onLost = () => {} }: StartOptions): Promise<RunningServer> {
  const channels = await openChannels(config);
  const clientSecrets = await readClientSecrets(config);
  const fetch = createSafeFetch({
    allowedHosts: config.fetch_allowed_hosts,
    timeoutMs: FETCH_TIMEOUT_MS,
    bytesMax: FETCH_BYTES_MAX,
  });
  const upstream = await openUpstream(config, fetch, log);
  const foundation = await openFoundation(config, { log, onLost });
  const { store } = foundation;
  const closing = createClosing(log);
  closing.add('the stores', foundation.stop);
  try {
    const book = await loadPolicyBook(store, config.policies);
    const checkpointKey = await loadCheckpointKey(store);
    const sealer = startSealer(store, { checkpointKey, log });
    closing.add('the sealer', () => sealer.stop());
    closing.add('the event log', () => sealer.sealNow());
    const expiry = startExpiry(store);
    closing.add('the sweep of step-ups', () => expiry.stop());
    const tasks = startTaskExpiry(store);
    closing.add('the sweep of tasks', () => tasks.stop());
    closing.add('the deadlines of agents', startAgentUpkeep(store));
    const delivery = startDelivery(store, channels);
    closing.add('the delivery of messages', () => delivery.stop());
    const pruning = startPruning(store, foundation.artifacts.durable, config.retention);
    closing.add('pruning', () => pruning.stop());
    const keyring = await openKeyring(store);
    closing.add('the keyring', async () => keyring.stop());
    const { leases, stop: stopLeases } = await startLeases(store, keyring, log);
    closing.add('the leases of guards', stopLeases);
    const draining = new AbortController();
    closing.add('the delivery of security events', startTransmitting(store, { fetch, keyring }).stop);
    const app = createHttpApp({
      config,
      store,
      artifacts: foundation.artifacts,
      book,
      keyring,
      leases,
      fetch,
      keySets: new RemoteKeySets(fetch, log),
      clientSecrets,
      upstream,
      draining: draining.signal,
    });
    const serving = await startServing({
      config,
      store,
      handler: app.callback(),
      draining,
      areKeysCurrent: () => keyring.isCurrent(),
    });
    const { announce_seconds, seconds_max } = config.drain;
    closing.add('serving', serving.drain, (announce_seconds + seconds_max) * 1_000 + CLOSE_STEP_MS_MAX);
    log.info({ issuer: config.issuer, port: serving.port }, 'the server is ready');
    return {
      issuer: config.issuer,
      port: serving.port,
      store,
      verifierKey: checkpointKey.verifierKey,
      stop: closing.run,
    };
  } catch (error) {
    await closing.run();
    throw error;
  }
}
