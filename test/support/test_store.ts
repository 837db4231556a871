import { silentLogger } from '../../src/kernel/logger.ts';
import { createVault } from '../../src/kernel/vault.ts';
import { DEFAULT_RULES, type Rules } from '../../src/model/rules.ts';
import { createMemoryEphemeralStore } from '../../src/store/memory/ephemeral.ts';
import type { Store } from '../../src/store/store.ts';
import type { TestDatabase } from './database.ts';

/** A store over a test database, with the in-process ephemeral store and a fixed root key. */
export function createTestStore(database: Pick<TestDatabase, 'db'>, changes: TestStoreChanges = {}): Store {
  const { rules, ...rest } = changes;
  return {
    db: database.db,
    ephemeral: createMemoryEphemeralStore(),
    vault: createVault(Buffer.alloc(32, 7)),
    log: silentLogger,
    issuer: 'http://localhost:9400',
    rules: { ...DEFAULT_RULES, ...rules },
    ...rest,
  };
}

export interface TestStoreChanges extends Partial<Omit<Store, 'rules'>> {
  readonly rules?: Partial<Rules>;
}
