import type { Kysely, Transaction } from 'kysely';
import type { Logger } from '../kernel/logger.ts';
import type { Vault } from '../kernel/vault.ts';
import type { Rules } from '../model/rules.ts';
import type { EphemeralStore } from './ephemeral.ts';
import type { Tables } from './postgres/tables.ts';

/** What every use case is handed: the truth (PostgreSQL), what may be lost, and the keys for data at rest. */
export interface Store {
  readonly db: Kysely<Tables>;
  readonly ephemeral: EphemeralStore;
  readonly vault: Vault;
  readonly log: Logger;
  /** The issuer identifier, part of every action digest. */
  readonly issuer: string;
  readonly rules: Rules;
}

export type Tx = Transaction<Tables>;

/** Collects what must happen only if the transaction commits: wake-ups, cache entries. Failures there are logged. */
export type AfterCommit = (effect: () => Promise<void> | void) => void;
