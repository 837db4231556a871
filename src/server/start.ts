import { startDelivery } from '../approvals/deliver.ts';
import { startExpiry } from '../approvals/expire.ts';
import type { Config } from '../config.ts';
import { loadCheckpointKey } from '../events/checkpoint_key.ts';
import { startSealer } from '../events/sealer.ts';
import type { Logger } from '../kernel/logger.ts';
import { createSafeFetch } from '../kernel/safe_fetch.ts';
import { loadProviderKeys } from '../provider/keys.ts';
import type { Store } from '../store/store.ts';
import { openChannels } from './channels.ts';
import { createHttpApp } from './http_app.ts';
import { FETCH_BYTES_MAX, FETCH_TIMEOUT_MS } from './limits.ts';
import { listen } from './listen.ts';
import { openFoundation } from './open_foundation.ts';
import { loadPolicyBook } from './policy.ts';
import { startPruning } from './prune.ts';

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
  const foundation = await openFoundation(config, { log, onLost });
  const { store } = foundation;
  const closing: (() => Promise<void>)[] = [foundation.stop];
  const stop = async () => {
    for (const close of closing.splice(0).reverse()) await close();
  };
  try {
    const book = await loadPolicyBook(store, config.policies);
    const checkpointKey = await loadCheckpointKey(store);
    const sealer = startSealer(store, { checkpointKey, log });
    closing.push(async () => {
      await sealer.sealNow();
      await sealer.stop();
    });
    const expiry = startExpiry(store);
    closing.push(() => expiry.stop());
    const delivery = startDelivery(store, channels);
    closing.push(() => delivery.stop());
    const pruning = startPruning(store, foundation.artifacts.durable);
    closing.push(() => pruning.stop());
    let isDraining = false;
    const app = createHttpApp({
      config,
      store,
      artifacts: foundation.artifacts,
      book,
      keys: await loadProviderKeys(store),
      fetch: createSafeFetch({
        allowedHosts: config.fetch_allowed_hosts,
        timeoutMs: FETCH_TIMEOUT_MS,
        bytesMax: FETCH_BYTES_MAX,
      }),
      isDraining: () => isDraining,
    });
    const listening = await listen(app.callback(), { ...config.listen, setting: '--port or listen.port' });
    closing.push(async () => {
      isDraining = true;
      await listening.close();
    });
    log.info({ issuer: config.issuer, port: listening.port }, 'the server is ready');
    return {
      issuer: config.issuer,
      port: listening.port,
      store,
      verifierKey: checkpointKey.verifierKey,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
