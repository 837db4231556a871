import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

let database: TestDatabase;
let scenario: Scenario;

beforeAll(async () => {
  database = await createTestDatabase();
  const rules = { dpop: { noncesRequired: false, requiredFromRisk: 'write' } } as const;
  scenario = await Scenario.create(createTestStore(database, { rules }));
});
afterAll(() => database.drop());

const jkt = 'A'.repeat(43);
const refusalOf = (answer: object) => (answer as { refusal?: { error: string } }).refusal?.error;

test('a call of a tool of the class needs a bound token, whenever the token was issued', async () => {
  expect((await scenario.evaluate('read_file', { path: 'a' })).decision).toBe('permit');
  const unbound = await scenario.evaluate('write_file', { path: 'a', content: 'b' });
  expect(unbound.decision).toBe('deny');
  expect(refusalOf(unbound)).toBe('dpop_required');
  scenario.claims = { ...scenario.claims, cnf: { jkt } };
  expect((await scenario.evaluate('write_file', { path: 'a', content: 'b' })).decision).toBe('step_up');
});

test('a grant that was approved for a bound token is not redeemed with another one', async () => {
  scenario.claims = { ...scenario.claims, cnf: { jkt } };
  const args = { path: 'b', content: 'c' };
  const stepUp = await scenario.ask('write_file', args);
  expect((await scenario.decide(stepUp, scenario.requester, 'approve')).ok).toBe(true);
  const { cnf: _, ...unbound } = scenario.claims;
  scenario.claims = unbound;
  const refused = await scenario.redeem('write_file', args);
  expect(refused).toMatchObject({ ok: false, refusal: { code: 'dpop_required' } });
  scenario.claims = { ...unbound, cnf: { jkt } };
  expect((await scenario.redeem('write_file', args)).ok).toBe(true);
});

test('an agent that is registered so needs one for every call', async () => {
  await scenario.startTask();
  const agent = scenario.claims.act!.sub;
  await scenario.store.db.updateTable('agents').set({ dpop_required: true }).where('id', '=', agent).execute();
  expect(refusalOf(await scenario.evaluate('read_file', { path: 'a' }))).toBe('dpop_required');
  scenario.claims = { ...scenario.claims, cnf: { jkt } };
  expect((await scenario.evaluate('read_file', { path: 'a' })).decision).toBe('permit');
});
