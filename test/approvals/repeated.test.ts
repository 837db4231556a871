import { afterAll, beforeAll, expect, test } from 'vitest';
import { issueDecisionToken } from '../../src/approvals/decision_token.ts';
import { viewStepUp } from '../../src/approvals/view.ts';
import { withdrawStepUp } from '../../src/approvals/withdraw.ts';
import type { SignedIn } from '../../src/model/person.ts';
import type { Store } from '../../src/store/store.ts';
import { recordOutcome } from '../../src/tasks/outcome.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

// F9: what is asked again because its answer was lost is told what was done, and is not done twice.

let database: TestDatabase;
let store: Store;
let scene: Scenario;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createTestStore(database, { rules: { stepUpsPerAgentPerMinute: 100, denialCooldownSeconds: 0 } });
  scene = await Scenario.create(store);
});
afterAll(() => database.drop());

const args = (path: string) => ({ path, content: 'b' });

async function pageToken(stepUpId: string, signedIn: SignedIn): Promise<string> {
  const view = await viewStepUp(store, { stepUpId, personId: signedIn.person.id });
  if (!view.ok) throw new Error(view.refusal.message);
  return issueDecisionToken(store, { sessionIdHash: signedIn.sessionIdHash, view: view.value });
}

test.each(['approve', 'deny'] as const)(
  'the same %s on the same page is acknowledged again and made once',
  async (decision) => {
    const id = await scene.ask('write_file', args(decision));
    const token = await pageToken(id, scene.requester);
    const first = await scene.decide(id, scene.requester, decision, { token });
    expect(first).toMatchObject({ ok: true });
    expect(await scene.decide(id, scene.requester, decision, { token, confirmation: null })).toEqual(first);
    const rows = await store.db.selectFrom('decisions').select('id').where('step_up_id', '=', id).execute();
    expect(rows).toHaveLength(1);
  },
);

test('the other decision, another person or another page is told who decided', async () => {
  const id = await scene.ask('write_file', args('other'));
  const token = await pageToken(id, scene.requester);
  await scene.decide(id, scene.requester, 'approve', { token });
  const told = { ok: false, refusal: { code: 'already_decided' } };
  expect(await scene.decide(id, scene.requester, 'deny', { token })).toMatchObject(told);
  expect(await scene.decide(id, scene.administrator, 'approve')).toMatchObject(told);
  expect(await scene.decide(id, scene.requester, 'approve', { token: 'another' })).toMatchObject(told);
});

test('an explicit cancel is acknowledged again; a step-up that ended otherwise was not cancelled', async () => {
  const toolServerId = scene.server.id;
  const cancelled = await scene.ask('write_file', args('cancelled'));
  const cancel = (stepUpId: string) => withdrawStepUp(store, { stepUpId, toolServerId, reason: 'Cancelled.' });
  expect([await cancel(cancelled), await cancel(cancelled)]).toEqual([true, true]);
  expect((await scene.events('step_up.withdrawn')).length).toBe(1);
  const denied = await scene.ask('write_file', args('denied'));
  await scene.decide(denied, scene.requester, 'deny');
  expect(await cancel(denied)).toBe(false);
});

test('an outcome is acknowledged again; another one does not replace it', async () => {
  const id = await scene.ask('write_file', args('outcome'));
  await scene.decide(id, scene.requester, 'approve');
  const redeemed = await scene.redeem('write_file', args('outcome'), 'att_outcome');
  if (!redeemed.ok) throw new Error(redeemed.refusal.message);
  const report = (outcome: 'done' | 'failed') =>
    recordOutcome(store, {
      redemptionId: redeemed.value.redemption_id,
      toolServerId: scene.server.id,
      attemptId: 'att_outcome',
      guardInstance: scene.guardInstance,
      outcome,
      result: null,
    });
  expect(await report('done')).toEqual({ ok: true, value: { recorded: true } });
  expect(await report('done')).toEqual({ ok: true, value: { recorded: true } });
  expect(await report('failed')).toEqual({ ok: true, value: { recorded: false } });
  expect((await scene.events('outcome.recorded')).length).toBe(1);
});
