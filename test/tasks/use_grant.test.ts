import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/kernel/ids.ts';
import { JUDGED_SECONDS_MAX } from '../../src/tasks/limits.ts';
import { loadCallChain } from '../../src/tasks/principal.ts';
import { findRedeemableGrant } from '../../src/tasks/redeemable_grant.ts';
import { type Use, useGrant } from '../../src/tasks/use_grant.ts';
import { bindingDigest } from '../../src/wire/action_digest.ts';
import { manifestDigest } from '../../src/wire/manifest.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario, TOOLS } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

// A use is judged on what was read before, with nothing locked; this is the statement that compares all of it again.

let database: TestDatabase;
let scenario: Scenario;
let count = 0;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await scenario?.freeNames();
  scenario = await Scenario.create(createTestStore(database));
});

async function judged(changes: { maxUses?: number } = {}): Promise<Use> {
  const { store, server } = scenario;
  count += 1;
  const args = { path: `note-${count}`, content: 'x' };
  const id = await scenario.ask('write_file', args);
  expect(await scenario.decide(id, scenario.requester, 'approve')).toMatchObject({ ok: true });
  if (changes.maxUses !== undefined) {
    await store.db.updateTable('grants').set({ max_uses: changes.maxUses }).where('step_up_id', '=', id).execute();
  }
  const chain = await loadCallChain(store, scenario.claims);
  if (!chain.ok) throw new Error(chain.refusal.message);
  const { requester, delegation, agent, task } = chain.value.principal;
  const digest = scenario.describe('write_file', args).action_digest;
  const binding = bindingDigest({ action_digest: digest, requester, delegation, agent, task });
  const grant = await findRedeemableGrant(store, binding);
  if (!grant.ok) throw new Error(grant.refusal.message);
  const { definition, risk } = TOOLS.find((tool) => tool.definition.name === 'write_file')!;
  return {
    server,
    chain: chain.value,
    grant: grant.value,
    jti: scenario.claims.jti,
    tool: { name: 'write_file', digest: manifestDigest(definition), risk },
    attemptId: newId('att'),
    guardInstance: newId('gin'),
    policyVersion: 'v',
    charges: [],
  };
}

async function written(use: Use): Promise<{ uses: number; redemptions: number; events: number }> {
  const { rows } = await sql<{ uses: number; redemptions: number; events: number }>`select
      (select uses from grants where id = ${use.grant.id}) as uses,
      (select count(*)::int from redemptions where grant_id = ${use.grant.id}) as redemptions,
      (select count(*)::int from events where kind = 'grant.redeemed' and body like ${`%${use.grant.id}%`}) as events`.execute(
    database.db,
  );
  return rows[0]!;
}

const CHANGES: readonly [string, (use: Use) => string][] = [
  [
    'the requester is disabled',
    ({ chain }) => `update people set state = 'disabled' where id = '${chain.principal.requester}'`,
  ],
  [
    'a voter is no administrator any more, or has become one',
    ({ grant }) => `update people set is_administrator = not is_administrator where id = '${grant.votes[0]!.id}'`,
  ],
  [
    'the agent is suspended',
    ({ chain }) => `update agents set state = 'suspended' where id = '${chain.principal.agent}'`,
  ],
  ['the task ends', ({ chain }) => `update tasks set state = 'cancelled' where id = '${chain.principal.task}'`],
  [
    'the time of the task is over',
    ({ chain }) => `update tasks set expires_at = clock_timestamp() where id = '${chain.principal.task}'`,
  ],
  [
    'the delegation is revoked',
    ({ chain }) => `update delegations set revoked_at = clock_timestamp() where id = '${chain.principal.delegation}'`,
  ],
  [
    'the tool server is suspended',
    ({ server }) => `update tool_servers set state = 'suspended' where id = '${server.id}'`,
  ],
  [
    'the tool server gets another owner',
    ({ server, chain }) =>
      `update tool_servers set owner_id = '${chain.principal.requester}' where id = '${server.id}'`,
  ],
  ['the grant is revoked', ({ grant }) => `update grants set revoked_at = clock_timestamp() where id = '${grant.id}'`],
  ['the grant expires', ({ grant }) => `update grants set expires_at = clock_timestamp() where id = '${grant.id}'`],
  ['another takes a use', ({ grant }) => `update grants set uses = uses + 1 where id = '${grant.id}'`],
];

// Nothing of these is locked, so a change that commits later is later.
const CHANGES_BEFORE: readonly [string, (use: Use) => string][] = [
  [
    'the token is revoked',
    ({ jti }) =>
      `insert into revoked_tokens (jti, expires_at) values ('${jti}', clock_timestamp() + interval '5 minutes')`,
  ],
  ['its tool is removed', ({ server }) => `update tools set state = 'removed' where tool_server_id = '${server.id}'`],
  [
    'another definition of its tool is accepted',
    ({ server }) => `update tools set digest = 'x' where tool_server_id = '${server.id}'`,
  ],
  [
    'its tool gets another class',
    ({ server }) => `update tools set risk = 'critical' where tool_server_id = '${server.id}'`,
  ],
];

test('a use is taken, redeemed and recorded together', async () => {
  const use = await judged();
  expect(await useGrant(scenario.store, use)).toMatch(/^red_/);
  expect(await written(use)).toEqual({ uses: 1, redemptions: 1, events: 1 });
});

describe('nothing is written when, after it was judged,', () => {
  test.each([...CHANGES, ...CHANGES_BEFORE])('%s', async (_name, change) => {
    const use = await judged({ maxUses: 3 });
    const before = await written(use);
    await sql.raw(change(use)).execute(database.db);
    const changed = await written(use);
    expect(await useGrant(scenario.store, use)).toBe('changed');
    expect(await written(use)).toEqual(changed);
    expect(changed.redemptions).toBe(before.redemptions);
  });

  test('too much time passes', async () => {
    const use = await judged();
    const readAt = new Date(use.chain.readAt.getTime() - JUDGED_SECONDS_MAX * 1_000);
    expect(await useGrant(scenario.store, { ...use, chain: { ...use.chain, readAt } })).toBe('changed');
    expect(await written(use)).toEqual({ uses: 0, redemptions: 0, events: 0 });
  });

  test.each(CHANGES)('%s in a transaction that it has to wait for', async (_name, change) => {
    const use = await judged({ maxUses: 3 });
    const answer = await database.db.transaction().execute(async (tx) => {
      await sql.raw(change(use)).execute(tx);
      const waiting = useGrant(scenario.store, use);
      await untilSomebodyWaits();
      return { waiting };
    });
    expect(await answer.waiting).toBe('changed');
    expect(await written(use)).toMatchObject({ redemptions: 0, events: 0 });
  });
});

test('of 20 that use one attempt at once, one is first and the others are told so', async () => {
  const use = await judged({ maxUses: 20 });
  const answers = await Promise.all(Array.from({ length: 20 }, () => useGrant(scenario.store, use)));
  expect(answers.filter((answer) => answer.startsWith('red_'))).toHaveLength(1);
  expect(await written(use)).toEqual({ uses: 1, redemptions: 1, events: 1 });
  const again = { ...use, grant: { ...use.grant, uses: 1 } };
  expect(await useGrant(scenario.store, again)).toBe('attempt_taken');
  expect(await written(use)).toEqual({ uses: 1, redemptions: 1, events: 1 });
});

/** Until a backend of this database waits for a lock. */
async function untilSomebodyWaits(): Promise<void> {
  for (;;) {
    const { rows } = await sql<{ waits: boolean }>`select exists (select from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock') as waits`.execute(database.db);
    if (rows[0]!.waits) return;
  }
}
