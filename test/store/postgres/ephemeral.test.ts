import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/kernel/logger.ts';
import { createPostgresEphemeralStore } from '../../../src/store/postgres/ephemeral.ts';
import { type Notifications, openNotifications } from '../../../src/store/postgres/notifications.ts';
import { MemoryLost } from '../../../src/store/redis/errors.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { ephemeralContract } from '../ephemeral_contract.ts';

let database: TestDatabase;
const nodes: Notifications[] = [];
beforeAll(async () => {
  database = await createTestDatabase();
  for (let count = 0; count < 2; count += 1) {
    nodes.push(openNotifications({ connection: database.connection, db: database.db, log: silentLogger }));
  }
});
afterAll(async () => {
  for (const node of nodes) await node.close();
  await database.drop();
});

const openAt = (node: number, epochId: string) =>
  createPostgresEphemeralStore({ db: database.db, notifications: nodes[node]!, epoch: () => epochId });

// The clock is PostgreSQL's own, so time passes by moving what is stored into the past.
async function advance(milliseconds: number): Promise<void> {
  const by = sql`make_interval(secs => ${milliseconds / 1000})`;
  await sql`update ephemeral_entries set expires_at = expires_at - ${by} where expires_at < 'infinity'`.execute(
    database.db,
  );
}

ephemeralContract('postgres', async () => {
  const [store, other] = [openAt(0, 'e1'), openAt(1, 'e1')];
  await store.seed('e1');
  const remembersSince = new Date();
  return { store: { ...store, remembersSince }, other: { ...other, remembersSince }, advance };
});

describe('postgres: epochs of what may be lost', () => {
  it('is lost in every operation when its mark is gone, as after a crash that emptied the table', async () => {
    const store = openAt(0, 'crashed');
    await store.seed('crashed');
    await store.put('k', 'x', 60_000);
    expect(await store.get('k')).toBe('x');
    await sql`delete from ephemeral_entries`.execute(database.db);
    for (const operation of [
      () => store.get('k'),
      () => store.take('k'),
      () => store.put('k', 'x', 60_000),
      () => store.putIfAbsent('k', 'x', 60_000),
      () => store.increment('k', 60_000),
      () => store.delete('k'),
    ]) {
      await expect(operation()).rejects.toThrow(MemoryLost);
    }
    expect((await sql`select from ephemeral_entries`.execute(database.db)).rows).toEqual([]);
  });

  it('holds nothing of another epoch, and no key in the clear', async () => {
    const [before, after] = [openAt(0, 'before'), openAt(0, 'after')];
    await before.seed('before');
    await after.seed('after');
    await before.put('the-key', 'x', 60_000);
    expect(await after.get('the-key')).toBeUndefined();
    expect(await after.putIfAbsent('the-key', 'y', 60_000)).toBe(true);
    expect(await before.get('the-key')).toBe('x');
    await before.drop('before');
    await expect(before.get('the-key')).rejects.toThrow(MemoryLost);
    const { rows } = await sql<{ text: string }>`select ephemeral_entries::text as text from ephemeral_entries`.execute(
      database.db,
    );
    expect(rows.map((row) => row.text).join()).not.toContain('the-key');
  });

  it('prunes what expired and no mark', async () => {
    const store = openAt(0, 'pruned');
    await store.seed('pruned');
    await store.put('over', 'x', 1000);
    await store.put('live', 'x', 600_000);
    await advance(1500);
    await store.prune();
    expect(await store.get('live')).toBe('x');
    expect(await store.prune()).toBe(0);
  });
});

describe('postgres: notifications', () => {
  const until = async (condition: () => boolean) => {
    for (const deadline = Date.now() + 15_000; !condition(); await sleep(5)) {
      if (Date.now() > deadline) throw new Error('It did not come about within 15 s.');
    }
  };

  it('refuses a message that PostgreSQL would not take, and says the limit', async () => {
    await expect(nodes[0]!.publish('c', 'x'.repeat(7_900))).rejects.toThrow(/7900 bytes/);
    await expect(nodes[0]!.publish('c', '\u0000'.repeat(2_000))).rejects.toThrow(RangeError);
    await nodes[0]!.publish('c', 'x'.repeat(7_800));
  });

  it('listens again after its connection was cut, and calls every listener once', async () => {
    const heard: string[] = [];
    const unsubscribe = await nodes[0]!.subscribe('cut', (message) => heard.push(message));
    await sql`select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'countersign-wake' and datname = current_database()`.execute(database.db);
    await until(() => heard.length > 0);
    expect(heard).toEqual(['']);
    await nodes[1]!.publish('cut', 'after');
    await until(() => heard.length > 1);
    expect(heard).toEqual(['', 'after']);
    unsubscribe();
  });

  it('subscribes, after a bounded wait, while it cannot listen', async () => {
    const connection = { ...database.connection, port: 1 };
    const lonely = openNotifications({ connection, db: database.db, log: silentLogger });
    const unsubscribe = await lonely.subscribe('c', () => {});
    unsubscribe();
    await lonely.close();
  });

  it('keeps hundreds of messages apart that are published at once', async () => {
    const heard: string[] = [];
    const unsubscribe = await nodes[1]!.subscribe('many', (message) => heard.push(message));
    await Promise.all(Array.from({ length: 500 }, (_, index) => nodes[0]!.publish('many', `${index}`)));
    await until(() => heard.length >= 500);
    expect(new Set(heard).size).toBe(500);
    unsubscribe();
  });
});
