import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadCheckpointKey } from '../../src/events/checkpoint_key.ts';
import { startSealer } from '../../src/events/sealer.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { startEmbeddedPostgres } from '../../src/store/postgres/embedded.ts';
import { migrate } from '../../src/store/postgres/migrate.ts';
import { type Database, openDatabase } from '../../src/store/postgres/open.ts';
import type { Tables } from '../../src/store/postgres/tables.ts';
import { Scenario } from '../../test/support/scenario.ts';
import { createTestStore } from '../../test/support/test_store.ts';
import { BareRedemptions } from './bare_redemptions.ts';
import { type Run, summarize } from './figures.ts';
import { APPROVED_FILES, MANY_CONNECTIONS, MANY_USES, REDEEM_ROUNDS, REDEEM_RUN_MS } from './limits.ts';

const TOOL = 'write_file';
const RULES = { stepUpsPerAgentPerMinute: MANY_USES, openStepUpsPerAgent: MANY_USES };

/** The rounds of one way to use a grant, at one at a time and at several. */
export interface RedeemFinding {
  readonly name: string;
  readonly one: readonly Run[];
  readonly many: readonly Run[];
}

/**
 * Redemption as the server does it, in this process, against what a program would do that had nothing but the grant to
 * mind: the UPDATE, and the UPDATE with the rows that record it in one transaction. The redemption comes last.
 */
export async function measureRedeem(closing: (() => Promise<unknown>)[]): Promise<readonly RedeemFinding[]> {
  const root = await mkdtemp(join(tmpdir(), 'countersign-bench-redeem-'));
  closing.push(() => rm(root, { recursive: true, force: true }));
  const postgres = await startEmbeddedPostgres({ dataDirectory: root, log: silentLogger });
  closing.push(() => postgres.stop());
  const connection = postgres.connection;
  const database = openDatabase<Tables>({ connection, poolMax: MANY_CONNECTIONS, log: silentLogger });
  closing.push(() => database.close());
  await migrate(database.db);
  const store = createTestStore(database, { rules: RULES });
  const scenario = await Scenario.create(store);
  const sealer = startSealer(store, { checkpointKey: await loadCheckpointKey(store), log: silentLogger });
  closing.push(() => sealer.stop());
  await approve(scenario, database);
  const bare = await BareRedemptions.prepare(store, database.pool);
  return takeTurns([
    ['UPDATE alone', (index) => bare.update(index)],
    ['UPDATE, redemption and event in one transaction', (index) => bare.record(index)],
    ['redeem: chain, policy, use, redemption, event, sealing', (index) => redeemOnce(scenario, index)],
  ]);
}

const argumentsOf = (index: number) => ({ path: `f${index % APPROVED_FILES}`, content: 'x' });

async function approve(scenario: Scenario, { pool }: Database<Tables>): Promise<void> {
  for (let index = 0; index < APPROVED_FILES; index += 1) {
    const stepUpId = await scenario.ask(TOOL, argumentsOf(index));
    const decided = await scenario.decide(stepUpId, scenario.requester, 'approve');
    if (!decided.ok) throw new Error(decided.refusal.message);
  }
  await pool.query("update grants set max_uses = $1, expires_at = clock_timestamp() + interval '1 hour'", [MANY_USES]);
}

async function redeemOnce(scenario: Scenario, index: number): Promise<void> {
  const answer = await scenario.redeem(TOOL, argumentsOf(index));
  if (!answer.ok) throw new Error(answer.refusal.message);
}

type UseOne = (index: number) => Promise<void>;

async function takeTurns(ways: readonly (readonly [string, UseOne])[]): Promise<RedeemFinding[]> {
  const found = ways.map(([name]) => ({ name, one: [] as Run[], many: [] as Run[] }));
  for (const [, use] of ways) await runFor(MANY_CONNECTIONS, use);
  for (let round = 0; round < REDEEM_ROUNDS; round += 1) {
    const order = ways.map((_, index) => index);
    for (const index of round % 2 === 0 ? order : order.reverse()) {
      const use = ways[index]?.[1] ?? (async () => {});
      found[index]?.one.push(await runFor(1, use));
      found[index]?.many.push(await runFor(MANY_CONNECTIONS, use));
    }
  }
  return found;
}

async function runFor(connections: number, use: UseOne): Promise<Run> {
  const latencies: number[] = [];
  const startedAt = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (performance.now() - startedAt < REDEEM_RUN_MS) {
        const index = next++;
        const sentAt = performance.now();
        await use(index);
        latencies.push(performance.now() - sentAt);
      }
    }),
  );
  return summarize(latencies, performance.now() - startedAt);
}
