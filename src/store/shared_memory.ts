import type { Logger } from '../kernel/logger.ts';
import type { Vault } from '../kernel/vault.ts';
import type { ArtifactStore } from './artifacts.ts';
import type { EphemeralStore } from './ephemeral.ts';
import { artifactsOfEpoch, createPlacedArtifactStore } from './place/artifacts.ts';
import { createPlacedEphemeralStore } from './place/ephemeral.ts';
import type { Place } from './place/epoch.ts';
import { MemoryKeeper } from './place/keeper.ts';
import { RedisPlace } from './place/redis_place.ts';
import { WakeUps } from './place/wake_ups.ts';
import { watchMemory } from './place/watch.ts';
import { createPostgresArtifactStore } from './postgres/artifacts.ts';
import { createPostgresEphemeralStore } from './postgres/ephemeral.ts';
import { createMemoryEpochs } from './postgres/memory_epoch.ts';
import { openNotifications } from './postgres/notifications.ts';
import type { Database, DatabaseConnection } from './postgres/open.ts';
import type { Tables } from './postgres/tables.ts';
import { RedisOutage } from './redis/errors.ts';
import type { RedisSettings } from './redis/settings.ts';
import { CHANNELS } from './wake.ts';

export interface SharedMemoryOptions {
  /** Null: PostgreSQL does it all. */
  readonly redis: RedisSettings | null;
  readonly database: Database<Tables>;
  /** Of the same database, for the connection that listens. */
  readonly connection: DatabaseConnection;
  readonly vault: Vault;
  readonly log: Logger;
}

/** What may be lost, for many servers: in Redis, and in PostgreSQL for as long as Redis does not hold it. */
export interface SharedMemory {
  readonly ephemeral: EphemeralStore;
  readonly artifacts: ArtifactStore;
  place(): Place;
  close(): Promise<void>;
}

/**
 * Opens the memory all servers share. Redis may be out of reach; one that must not be used as it is set up is refused with
 * `RedisPolicyError`.
 */
export async function openSharedMemory(options: SharedMemoryOptions): Promise<SharedMemory> {
  const { database, connection, vault, log } = options;
  const { db } = database;
  let keeper: MemoryKeeper | undefined;
  const epoch = () => keeper!.epoch;
  const redis = new RedisPlace({
    settings: options.redis,
    vault,
    log,
    epoch,
  });
  const notifications = openNotifications({ connection, db, log });
  const wakeUps = new WakeUps(
    notifications,
    () => redis.connection,
    () => epoch().place,
  );
  const entries = createPostgresEphemeralStore({ db, notifications, epoch: () => epoch().id });
  const durable = createPostgresArtifactStore({ db, vault });
  const postgres = { ephemeral: entries, artifacts: artifactsOfEpoch(durable, () => epoch().id) };
  const storesAt = (place: Place) => (place === 'redis' ? redis.stores : postgres);
  try {
    await redis.connect().catch((error: unknown) => {
      if (!(error instanceof RedisOutage)) throw error;
      log.error({ err: error }, 'Redis does not answer; what may be lost is kept in PostgreSQL until it does');
    });
    keeper = await MemoryKeeper.open(
      {
        epochs: createMemoryEpochs(db),
        places: {
          redis,
          postgres: { servers: async () => [], seed: entries.seed, drop: entries.drop },
        },
        log,
        announce: () => void notifications.publish(CHANNELS.memory, '').catch(() => {}),
      },
      redis.isConfigured ? 'redis' : 'postgres',
    );
  } catch (error) {
    await Promise.all([redis.close(), notifications.close()]);
    throw error;
  }
  const opened = keeper;
  const deaf = await notifications.subscribe(CHANNELS.memory, () => void opened.refresh().catch(() => {}));
  const watch = watchMemory({
    keeper: opened,
    redis: redis.isConfigured ? redis : null,
    onAnswer: () => wakeUps.reachRedis(),
    prune: entries.prune,
    log,
  });
  const ephemeral = createPlacedEphemeralStore({
    keeper: opened,
    run: (work) => opened.run((place) => work(storesAt(place).ephemeral)),
    wakeUps,
  });
  return {
    ephemeral,
    artifacts: createPlacedArtifactStore((work) => opened.run((place) => work(storesAt(place).artifacts))),
    place: () => opened.epoch.place,
    async close() {
      await ephemeral.close();
      deaf();
      opened.stop();
      await watch.stop();
      await redis.close();
      await notifications.close();
    },
  };
}
