import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { SignedIn } from '../../src/model/person.ts';
import type { Store } from '../../src/store/store.ts';
import { disablePerson } from '../../src/tasks/revoke/disable_person.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

const ERASE = { disk: 'sda' };
let database: TestDatabase;
let store: Store;
let scene: Scenario;
let approver: SignedIn;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
afterEach(() => scene.freeNames());
beforeEach(async () => {
  store = createTestStore(database);
  scene = await Scenario.create(store);
  approver = await scene.addPerson('Edsger', true);
});

const approve = (stepUpId: string) => scene.decide(stepUpId, approver, 'approve', { shownSecondsAgo: 10 });

/** Until a request has reached the lock that it must wait for. */
async function untilSomebodyWaits(): Promise<void> {
  for (;;) {
    const { rows } = await sql`select from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`.execute(database.db);
    if (rows.length > 0) return;
    await sleep(20);
  }
}

/** Disables the approver; before that commits, `during` gets so far as it can. */
async function whileDisabling<Value>(during: () => Promise<Value>): Promise<Value> {
  let going: Promise<Value> | undefined;
  await database.db.transaction().execute(async (tx) => {
    await tx.updateTable('people').set({ state: 'disabled' }).where('id', '=', approver.person.id).execute();
    going = during();
    await untilSomebodyWaits();
  });
  return going!;
}

describe('a person who is disabled at the same time', () => {
  it('does not decide any more', async () => {
    const stepUp = await scene.ask('erase_disk', ERASE);
    const decided = await whileDisabling(() => approve(stepUp));
    expect(decided).toMatchObject({ ok: false, refusal: { code: 'not_an_approver' } });
    expect(await scene.redeem('erase_disk', ERASE)).toMatchObject({ ok: false });
  });

  it('has not approved what is not redeemed yet', async () => {
    const stepUp = await scene.ask('erase_disk', ERASE);
    await approve(stepUp);
    const redeemed = await whileDisabling(() => scene.redeem('erase_disk', ERASE));
    expect(redeemed).toMatchObject({ ok: false, refusal: { code: 'grant_missing' } });
  });
});

it('a vote that became void leaves no dead grant in the way: the next call asks anew', async () => {
  const first = await scene.ask('erase_disk', ERASE);
  await approve(first);
  const disabled = await disablePerson(store, {
    personId: approver.person.id,
    by: { kind: 'person', id: scene.administrator.person.id },
    reason: '',
  });
  expect(disabled.ok).toBe(true);
  expect(await scene.redeem('erase_disk', ERASE)).toMatchObject({ ok: false, refusal: { code: 'grant_missing' } });
  const revoked = await scene.events('grant.revoked');
  expect(revoked.map((event) => (event.ids as { step_up: string }).step_up)).toContain(first);
  const second = await scene.ask('erase_disk', ERASE);
  expect(second).not.toBe(first);
});

it('people who vote, redeem and are disabled at once do not lock each other out', async () => {
  const stepUp = await scene.ask('erase_disk', ERASE);
  await approve(stepUp);
  const by = { kind: 'person' as const, id: scene.administrator.person.id };
  const answers = await Promise.all([
    ...Array.from({ length: 10 }, () => scene.redeem('erase_disk', ERASE)),
    ...[scene.requester, approver].map(({ person }) => disablePerson(store, { personId: person.id, by, reason: '' })),
  ]);
  expect(answers.slice(-2)).toMatchObject([{ ok: true }, { ok: true }]);
});
