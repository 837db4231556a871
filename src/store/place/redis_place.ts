import type { Logger } from '../../kernel/logger.ts';
import type { Vault } from '../../kernel/vault.ts';
import type { ArtifactStore } from '../artifacts.ts';
import type { EphemeralStore } from '../ephemeral.ts';
import { createRedisArtifactStore } from '../redis/artifacts.ts';
import { connectRedis } from '../redis/connect.ts';
import type { RedisConnection, RedisEpoch } from '../redis/connection.ts';
import { createRedisEphemeralStore } from '../redis/ephemeral.ts';
import { RedisOutage } from '../redis/errors.ts';
import type { RedisSettings } from '../redis/settings.ts';
import type { EpochPlace } from './keeper.ts';

interface Connected {
  readonly connection: RedisConnection;
  readonly ephemeral: Omit<EphemeralStore, 'remembersSince'>;
  readonly artifacts: ArtifactStore;
}

export interface RedisPlaceOptions {
  /** Null where there is none: then it can never be used. */
  readonly settings: RedisSettings | null;
  readonly vault: Vault;
  readonly log: Logger;
  readonly epoch: () => RedisEpoch;
}

/** Redis as a place of the memory: out of reach until it was reached once, and whenever it does not answer. */
export class RedisPlace implements EpochPlace {
  readonly #options: RedisPlaceOptions;
  #connected: Connected | undefined;
  #connecting: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: RedisPlaceOptions) {
    this.#options = options;
  }

  get isConfigured(): boolean {
    return this.#options.settings !== null;
  }

  get connection(): RedisConnection | undefined {
    return this.#connected?.connection;
  }

  /** The stores there; throws a `RedisOutage` before Redis was reached for the first time. */
  get stores(): Connected {
    if (this.#connected !== undefined) return this.#connected;
    throw new RedisOutage(
      'unreachable',
      this.isConfigured
        ? 'Redis has not been reached since this server started.'
        : 'Another server keeps the memory in Redis, and this one has no redis.topology in its configuration.',
    );
  }

  /** Connects unless that was done. Rejects with `RedisOutage` or `RedisPolicyError`. */
  connect(): Promise<void> {
    if (this.#connected !== undefined) return Promise.resolve();
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect(): Promise<void> {
    const { settings, vault, log, epoch } = this.#options;
    if (settings === null) return;
    const connection = await connectRedis(settings, log);
    if (this.#isClosed) return connection.close();
    this.#connected = {
      connection,
      ephemeral: createRedisEphemeralStore({ connection, epoch }),
      artifacts: createRedisArtifactStore({ connection, vault, epoch }),
    };
  }

  async servers(): Promise<readonly string[]> {
    await this.connect();
    return this.stores.connection.servers();
  }

  async seed(epochId: string): Promise<void> {
    await this.stores.connection.seed(epochId);
  }

  async drop(epochId: string): Promise<void> {
    await this.#connected?.connection.drop(epochId);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#connecting?.catch(() => {});
    await this.#connected?.connection.close();
  }
}
