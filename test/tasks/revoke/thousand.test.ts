import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { FollowedEvent } from '../../../src/events/follow.ts';
import { revocationsOf } from '../../../src/events/revocations.ts';
import type { Store } from '../../../src/store/store.ts';
import { offboardAgent } from '../../../src/tasks/revoke/offboard_agent.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { Scenario } from '../../support/scenario.ts';
import { createTestStore } from '../../support/test_store.ts';
import { Chains } from './chains.ts';
import { addDescendants } from './descendants.ts';

let database: TestDatabase;
let store: Store;
let scene: Scenario;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  scene = await Scenario.create(store);
});
afterAll(() => database.drop());

it('an agent with 1,000 descendants is offboarded in one transaction, all of them with it', async () => {
  const chains = new Chains(store, scene);
  const [first, other] = [await chains.addAgent(), await chains.addAgent()];
  const root = await chains.start(first);
  const untouched = await chains.start(other);
  await addDescendants(database.db, { root, agentId: other, subTasks: 500, hops: 500 });
  const { rows: waiting } = await sql<{ n: number }>`select count(*)::int as n from delegations
    where agent_chain @> array[${first}]::text[]`.execute(database.db);
  expect(waiting).toEqual([{ n: 1_001 }]);
  const ended = await offboardAgent(store, { agentId: first, by: { kind: 'server', id: 'server' }, reason: '' });
  expect(ended).toMatchObject({ ok: true, value: { tasks: 501, delegations: 500 } });
  const { rows: left } = await sql<{ n: number }>`select count(*)::int as n from delegations d
    join tasks t on t.id = d.task_id
    where d.agent_chain @> array[${first}]::text[] and (d.revoked_at is null or t.state = 'active')`.execute(
    database.db,
  );
  expect(left).toEqual([{ n: 0 }]);
  const { rows: transactions } = await sql<{ xmin: string }>`
    select xmin::text from agents where id = ${first}
    union select xmin::text from delegations where agent_chain @> array[${first}]::text[]
    union select xmin::text from tasks where state = 'cancelled'
    union select xmin::text from events where kind in ('agent.offboarded', 'task.ended')`.execute(database.db);
  expect(transactions).toHaveLength(1);
  expect(await scene.events('task.ended')).toHaveLength(501);
  expect(await chains.isLive(untouched)).toBe(true);
  // Guards refuse all of it by the agent: more would not fit into a lease.
  const written = await database.db.selectFrom('events').select(['kind', 'body', 'at']).execute();
  const heard = written.flatMap(({ kind, body, at }) =>
    revocationsOf({ kind, at, position: 0, ids: JSON.parse(body).ids } as unknown as FollowedEvent),
  );
  expect(heard).toMatchObject([{ what: 'agent', id: first }]);
});

it('one with more descendants than a statement has time for is offboarded by several, in one transaction still', async () => {
  const chains = new Chains(store, scene);
  const [first, other] = [await chains.addAgent(), await chains.addAgent()];
  const root = await chains.start(first);
  await addDescendants(database.db, { root, agentId: other, subTasks: 0, hops: 3_000 });
  await sql
    .raw(`create function refuse_many() returns trigger language plpgsql as $$ begin
      if (select count(*) from changed) > 2000 then raise exception 'too many rows for one statement'; end if;
      return null; end $$`)
    .execute(database.db);
  await sql
    .raw(`create trigger refuse_many after update on delegations referencing new table as changed
      for each statement execute function refuse_many()`)
    .execute(database.db);
  const ended = await offboardAgent(store, { agentId: first, by: { kind: 'server', id: 'server' }, reason: '' });
  expect(ended).toMatchObject({ ok: true, value: { tasks: 1, delegations: 3_000 } });
  const { rows } = await sql<{ xmin: string }>`select distinct xmin::text from delegations
    where agent_chain @> array[${first}]::text[] and revoked_at is not null`.execute(database.db);
  expect(rows).toHaveLength(1);
});
