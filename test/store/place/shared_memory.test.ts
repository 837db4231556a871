import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { SharedMemory } from '../../../src/store/shared_memory.ts';
import { TcpProxy } from '../../faults/tcp_proxy.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { redisSettings, TestRedis } from '../../support/redis.ts';
import { artifactContract } from '../artifact_contract.ts';
import { ephemeralContract } from '../ephemeral_contract.ts';
import { openMemoryNode, until } from './memory_nodes.ts';

const HOUR_MS = 3_600_000;
let redis: TestRedis;
let database: TestDatabase;
const nodes: SharedMemory[] = [];

beforeAll(async () => {
  [redis, database] = await Promise.all([TestRedis.open(), createTestDatabase()]);
}, 60_000);
afterAll(async () => {
  await redis.kill();
  await database.drop();
});
beforeEach(async () => {
  await sql`delete from ephemeral_memory`.execute(database.db);
});
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.close()));
});

async function open(port: number | null = redis.port): Promise<SharedMemory> {
  const node = await openMemoryNode(database, port === null ? null : redisSettings([port]));
  nodes.push(node);
  return node;
}

// The clock of this place is PostgreSQL's, so time passes by moving what is stored into the past.
async function advance(milliseconds: number): Promise<void> {
  const by = sql`make_interval(secs => ${milliseconds / 1000})`;
  await sql`update ephemeral_entries set expires_at = expires_at - ${by} where expires_at < 'infinity'`.execute(
    database.db,
  );
  await sql`update artifacts set expires_at = expires_at - ${by}, consumed_at = consumed_at - ${by}`.execute(
    database.db,
  );
}

ephemeralContract('shared memory in PostgreSQL', async () => {
  const [store, other] = [await open(null), await open(null)];
  return { store: store.ephemeral, other: other.ephemeral, advance };
});
artifactContract('shared memory in PostgreSQL', async () => ({ store: (await open(null)).artifacts, advance }));

/** Every node is told to mark the proof; how many of them accept it, as callers do: mark first, compare after. */
async function accepting(all: readonly SharedMemory[], key: string, issuedAtMs: number): Promise<number> {
  const outcomes = await Promise.all(
    all.map(async ({ ephemeral }) => {
      const isFirst = await ephemeral.putIfAbsent(key, '1', HOUR_MS);
      return isFirst && issuedAtMs >= ephemeral.remembersSince.getTime();
    }),
  );
  return outcomes.filter(Boolean).length;
}
const proofNow = () => Math.floor(Date.now() / 1000) * 1000;

describe('two servers, one memory', () => {
  it('is in Redis where there is one, and survives the servers', async () => {
    const [one, two] = [await open(), await open()];
    expect([one.place(), two.place()]).toEqual(['redis', 'redis']);
    expect(two.ephemeral.remembersSince).toEqual(one.ephemeral.remembersSince);
    await one.ephemeral.put('k', 'x', HOUR_MS);
    await one.close();
    const three = await open();
    expect(await three.ephemeral.get('k')).toBe('x');
    expect(three.ephemeral.remembersSince).toEqual(two.ephemeral.remembersSince);
  });

  it('moves to PostgreSQL for both when one of them cannot reach Redis, and a proof counts once all the same', async () => {
    const proxy = await TcpProxy.open({ port: redis.port });
    try {
      const [near, far] = [await open(), await open(proxy.port)];
      const used = proofNow();
      expect(await accepting([near], 'used', used)).toBe(1);
      proxy.refuse();
      proxy.cut();
      // 24 parallel operations meet the outage together.
      const proofs = Array.from({ length: 24 }, (_, index) => `proof-${index}`);
      const during = await Promise.all(proofs.map((proof) => accepting([near, far, near], proof, proofNow())));
      expect(Math.max(...during)).toBeLessThanOrEqual(1);
      await until('both have moved', () => near.place() === 'postgres' && far.place() === 'postgres');
      expect(far.ephemeral.remembersSince).toEqual(near.ephemeral.remembersSince);
      expect(await accepting([near, far], 'used', used)).toBe(0);
      for (const proof of proofs) expect(await accepting([near, far], proof, used)).toBe(0);
      expect(await accepting([near, far, near, far], 'fresh', proofNow())).toBe(1);
    } finally {
      await proxy.close();
    }
  });

  it('counts a proof once while the memory is moved to and fro, under 24 operations at a time', async () => {
    const proxy = await TcpProxy.open({ port: redis.port });
    try {
      const both = [await open(), await open(proxy.port)];
      const accepted = new Map<string, number>();
      const offered: { readonly key: string; readonly issuedAtMs: number }[] = [];
      const endsAtMs = performance.now() + 6_000;
      const client = async (index: number) => {
        for (let turn = 0; performance.now() < endsAtMs; turn += 1) {
          // Mostly a new proof; sometimes one that was offered before, perhaps to the other server.
          const old = turn % 3 === 0 ? offered[Math.floor(Math.random() * offered.length)] : undefined;
          const proof = old ?? { key: `race-${index}-${turn}`, issuedAtMs: proofNow() };
          if (old === undefined) offered.push(proof);
          const count = await accepting([both[(index + turn) % 2]!], proof.key, proof.issuedAtMs);
          accepted.set(proof.key, (accepted.get(proof.key) ?? 0) + count);
        }
      };
      const clients = Promise.all(Array.from({ length: 24 }, (_, index) => client(index)));
      await sleep(1_500);
      proxy.cut();
      await sleep(1_500);
      await redis.ask('flushall');
      await sleep(1_500);
      proxy.refuse();
      proxy.cut();
      await clients;
      const twice = [...accepted].filter(([, count]) => count > 1);
      expect(twice).toEqual([]);
      expect([...accepted.values()].filter((count) => count === 1).length).toBeGreaterThan(24);
    } finally {
      await proxy.close();
    }
  }, 60_000);

  it('begins anew when Redis was emptied, restarted or restored, and finds nothing of before', async () => {
    const node = await open();
    const before = node.ephemeral.remembersSince.getTime();
    await node.ephemeral.put('k', 'x', HOUR_MS);
    await node.artifacts.save('AuthorizationCode', 'code', { payload: {} }, 60);
    await node.artifacts.consume('AuthorizationCode', 'code');
    await redis.ask('save');
    await redis.kill();
    await redis.start();
    expect(await node.ephemeral.get('k')).toBeUndefined();
    expect(await node.artifacts.find('AuthorizationCode', 'code')).toBeUndefined();
    expect(node.ephemeral.remembersSince.getTime()).toBeGreaterThan(before);
    await redis.ask('flushall');
    await node.ephemeral.put('k', 'y', HOUR_MS);
    expect(await node.ephemeral.get('k')).toBe('y');
  });

  it('begins anew in PostgreSQL when a crash emptied the table', async () => {
    const [one, two] = [await open(null), await open(null)];
    const used = proofNow();
    expect(await accepting([one], 'used', used)).toBe(1);
    await sql`delete from ephemeral_entries`.execute(database.db);
    expect(await accepting([two], 'used', used)).toBe(0);
    expect(await accepting([one, two], 'fresh', proofNow())).toBe(1);
  });
});

describe('the way back', () => {
  it('goes to PostgreSQL while Redis is dead and back once it has answered for a while', async () => {
    const [one, two] = [await open(), await open()];
    await redis.kill();
    try {
      await one.ephemeral.put('k', 'in PostgreSQL', HOUR_MS);
      expect(await two.ephemeral.get('k')).toBe('in PostgreSQL');
      expect([one.place(), two.place()]).toEqual(['postgres', 'postgres']);
    } finally {
      await redis.start();
    }
    await until('both are back in Redis', () => one.place() === 'redis' && two.place() === 'redis', 40_000);
    expect(await one.ephemeral.get('k')).toBeUndefined();
    // Refused once, as older than the memory: the answer came when a new proof counts.
    await accepting([one, two], 'early', proofNow());
    expect(await accepting([one, two], 'fresh', proofNow())).toBe(1);
  }, 60_000);

  it('starts without Redis, and uses it when it comes', async () => {
    await redis.kill();
    let node: SharedMemory;
    try {
      node = await open();
      expect(node.place()).toBe('postgres');
      await node.ephemeral.put('k', 'x', HOUR_MS);
      const heard: string[] = [];
      await node.ephemeral.subscribe('c', (message) => heard.push(message));
      await node.ephemeral.publish('c', 'before');
      await until('it is heard by PostgreSQL', () => heard.includes('before'));
      await redis.start();
      await until('it is in Redis', () => node.place() === 'redis', 40_000);
      await node.ephemeral.publish('c', 'after');
      await until('it is heard by Redis', () => heard.includes('after'));
    } finally {
      await redis.start().catch(() => {});
    }
  }, 60_000);

  it('leaves Redis to whoever has it when this server has none in its configuration, and says where to look', async () => {
    const [with_, without] = [await open(), await open(null)];
    await without.ephemeral.put('k', 'x', HOUR_MS);
    expect(await with_.ephemeral.get('k')).toBe('x');
    expect(with_.place()).toBe('postgres');
  });
});

it('wakes a listener of another server, wherever the memory is while it moves', async () => {
  const [one, two] = [await open(), await open()];
  const heard: string[] = [];
  await two.ephemeral.subscribe('c', (message) => heard.push(message));
  await one.ephemeral.publish('c', 'by Redis');
  await until('heard by Redis', () => heard.includes('by Redis'));
  await redis.kill();
  try {
    await one.ephemeral.publish('c', 'by PostgreSQL');
    await until('heard by PostgreSQL', () => heard.includes('by PostgreSQL'));
  } finally {
    await redis.start();
  }
});

it("goes by PostgreSQL's row, not by an older one that a restored backup brings", async () => {
  const node = await open(null);
  const since = node.ephemeral.remembersSince.getTime();
  await sql`update ephemeral_memory set epoch = 'old', since = since - interval '1 day'`.execute(database.db);
  await until('a new epoch began', async () => {
    const { rows } = await sql<{ epoch: string }>`select epoch from ephemeral_memory`.execute(database.db);
    return rows[0]!.epoch !== 'old';
  });
  await node.ephemeral.put('k', 'x', HOUR_MS);
  expect(node.ephemeral.remembersSince.getTime()).not.toBe(since);
});
