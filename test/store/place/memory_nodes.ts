import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '../../../src/kernel/logger.ts';
import { createVault } from '../../../src/kernel/vault.ts';
import { openDatabase } from '../../../src/store/postgres/open.ts';
import type { Tables } from '../../../src/store/postgres/tables.ts';
import type { RedisSettings } from '../../../src/store/redis/settings.ts';
import { openSharedMemory, type SharedMemory } from '../../../src/store/shared_memory.ts';
import type { TestDatabase } from '../../support/database.ts';

/** The memory as one server of many has it, with a pool of its own. */
export async function openMemoryNode(database: TestDatabase, redis: RedisSettings | null): Promise<SharedMemory> {
  const { connection } = database;
  const own = openDatabase<Tables>({ connection, poolMax: 8, log: silentLogger });
  const vault = createVault(Buffer.alloc(32, 7));
  try {
    const memory = await openSharedMemory({ redis, database: own, connection, vault, log: silentLogger });
    return {
      ...memory,
      async close() {
        await memory.close();
        await own.close();
      },
    };
  } catch (error) {
    await own.close();
    throw error;
  }
}

/** Waits for a condition under the load of other tests. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, msMax = 30_000): Promise<void> {
  for (const deadline = performance.now() + msMax; !(await condition()); await sleep(20)) {
    if (performance.now() > deadline) throw new Error(`Waited ${msMax / 1000} s, and not yet: ${what}.`);
  }
}
