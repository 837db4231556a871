import type { Config } from '../config.ts';
import { rulesOf } from '../config.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Vault } from '../kernel/vault.ts';
import type { ArtifactStore } from '../store/artifacts.ts';
import type { EphemeralStore } from '../store/ephemeral.ts';
import type { createPostgresArtifactStore } from '../store/postgres/artifacts.ts';
import type { Database } from '../store/postgres/open.ts';
import type { Tables } from '../store/postgres/tables.ts';
import type { Store } from '../store/store.ts';

/** The stores of one process: the truth, what may be lost, and the vault. */
export interface Foundation {
  readonly store: Store;
  readonly database: Database<Tables>;
  readonly artifacts: {
    readonly durable: ReturnType<typeof createPostgresArtifactStore>;
    readonly ephemeral: ArtifactStore;
  };
  stop(): Promise<void>;
}

export interface FoundationOptions {
  readonly log: Logger;
  readonly onLost: (error: Error) => void;
}

export function storeOf(
  config: Config,
  parts: {
    readonly database: Database<Tables>;
    readonly ephemeral: EphemeralStore;
    readonly vault: Vault;
    readonly log: Logger;
  },
): Store {
  const { database, ephemeral, vault, log } = parts;
  return { db: database.db, ephemeral, vault, log, issuer: config.issuer, rules: rulesOf(config) };
}
