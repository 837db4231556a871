import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { viewStepUp } from '../../src/approvals/view.ts';
import { withdrawStepUp } from '../../src/approvals/withdraw.ts';
import { newId } from '../../src/kernel/ids.ts';
import type { Store } from '../../src/store/store.ts';
import { endTask } from '../../src/tasks/finish.ts';
import { recordOutcome } from '../../src/tasks/outcome.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

const WRITE = { path: 'notes/today.md', content: 'Buy milk.\n' };

let database: TestDatabase;
let store: Store;
let scene: Scenario;

beforeAll(async () => {
  database = await createTestDatabase({ poolMax: 20 });
});
afterAll(() => database.drop());
afterEach(() => scene.freeNames());
beforeEach(async () => {
  store = createTestStore(database);
  scene = await Scenario.create(store);
});

describe('a gated call', () => {
  it('goes through when a person approved exactly it, once', async () => {
    const stepUp = await scene.ask('write_file', WRITE);
    const approved = await scene.decide(stepUp, scene.requester, 'approve');
    expect(approved).toEqual({ ok: true, value: { state: 'approved' } });
    expect(await scene.evaluate('write_file', WRITE)).toMatchObject({ decision: 'approved' });
    expect(await scene.redeem('write_file', WRITE)).toMatchObject({ ok: true, value: { repeated: false } });
  });

  it('lets reading through without asking', async () => {
    expect(await scene.evaluate('read_file', { path: 'a' })).toMatchObject({ decision: 'permit' });
    expect(await scene.events('call.permitted')).not.toHaveLength(0);
  });

  it('is one step-up however often it is made at once', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => scene.evaluate('write_file', WRITE)));
    const ids = new Set(answers.map((answer) => (answer.decision === 'step_up' ? answer.step_up.step_up_id : answer)));
    expect(ids.size).toBe(1);
  });

  it('cannot be redeemed before approval, nor after denial, and the reason reaches the agent', async () => {
    const stepUp = await scene.ask('write_file', WRITE);
    expect(await scene.redeem('write_file', WRITE)).toMatchObject({ ok: false, refusal: { code: 'grant_missing' } });
    await scene.decide(stepUp, scene.requester, 'deny', { reason: 'Wrong file.' });
    const answer = await scene.evaluate('write_file', WRITE);
    expect(answer).toMatchObject({
      decision: 'deny',
      refusal: { error: 'step_up_denied', detail: { reason: 'Wrong file.' } },
    });
    expect(await scene.redeem('write_file', WRITE)).toMatchObject({ ok: false, refusal: { code: 'grant_missing' } });
  });

  it('is answered with the recorded outcome when made again at once, and runs nothing', async () => {
    const stepUp = await scene.ask('write_file', WRITE);
    await scene.decide(stepUp, scene.requester, 'approve');
    const attemptId = newId('att');
    const redeemed = await scene.redeem('write_file', WRITE, attemptId);
    if (!redeemed.ok) throw new Error(redeemed.refusal.message);
    const result = { content: [{ type: 'text', text: 'written' }] };
    await recordOutcome(store, {
      redemptionId: redeemed.value.redemption_id,
      toolServerId: scene.server.id,
      attemptId,
      guardInstance: scene.guardInstance,
      outcome: 'done',
      result,
    });
    expect(await scene.evaluate('write_file', WRITE)).toMatchObject({ decision: 'replay', outcome: 'done', result });
  });

  it('asks anew after the replay window, and the page says what happened before', async () => {
    await scene.freeNames();
    scene = await Scenario.create(createTestStore(database, { rules: { replayWindowSeconds: 0 } }));
    const first = await scene.ask('write_file', WRITE);
    await scene.decide(first, scene.requester, 'approve');
    await scene.redeem('write_file', WRITE);
    const second = await scene.ask('write_file', WRITE);
    expect(second).not.toBe(first);
    const view = await viewStepUp(scene.store, { stepUpId: second, personId: scene.requester.person.id });
    expect(view).toMatchObject({ ok: true, value: { earlier: { outcome: 'unknown' } } });
  });

  it('ends with its task: withdrawn, unused grants revoked, the token refused', async () => {
    const stepUp = await scene.ask('write_file', WRITE);
    await scene.decide(stepUp, scene.requester, 'approve');
    const open = await scene.ask('write_file', { ...WRITE, path: 'other.md' });
    await endTask(store, {
      taskId: scene.claims.task.id,
      how: 'cancelled',
      by: { personId: scene.requester.person.id },
    });
    const row = await database.db
      .selectFrom('step_ups')
      .select('state')
      .where('id', '=', open)
      .executeTakeFirstOrThrow();
    expect(row.state).toBe('withdrawn');
    expect(await scene.redeem('write_file', WRITE)).toMatchObject({ ok: false, refusal: { code: 'task_ended' } });
    expect(await scene.evaluate('read_file', { path: 'a' })).toMatchObject({
      decision: 'deny',
      refusal: { error: 'task_ended' },
    });
  });

  it('is withdrawn by an explicit cancel and by nothing of another tool server', async () => {
    const stepUpId = await scene.ask('write_file', WRITE);
    expect(await withdrawStepUp(store, { stepUpId, toolServerId: 'tsv_other', reason: 'x' })).toBe(false);
    expect(await withdrawStepUp(store, { stepUpId, toolServerId: scene.server.id, reason: 'x' })).toBe(true);
    const decided = await scene.decide(stepUpId, scene.requester, 'approve');
    expect(decided).toMatchObject({ ok: false, refusal: { code: 'already_decided' } });
  });
});

describe('races', () => {
  it('20 approvals of one step-up by one person on one page make one decision and one grant, and all are acknowledged', async () => {
    const stepUp = await scene.ask('write_file', WRITE);
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => scene.decide(stepUp, scene.requester, 'approve')),
    );
    for (const answer of answers) expect(answer).toEqual({ ok: true, value: { state: 'approved' } });
    const decisions = await database.db.selectFrom('decisions').select('id').where('step_up_id', '=', stepUp).execute();
    expect(decisions).toHaveLength(1);
    const grants = await database.db.selectFrom('grants').select('id').where('step_up_id', '=', stepUp).execute();
    expect(grants).toHaveLength(1);
  });

  it('approvals and denials at once end in one state with one decision', async () => {
    const stepUp = await scene.ask('write_file', WRITE);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        scene.decide(stepUp, scene.requester, index % 2 === 0 ? 'approve' : 'deny'),
      ),
    );
    const decisions = await database.db
      .selectFrom('decisions')
      .select('decision')
      .where('step_up_id', '=', stepUp)
      .execute();
    expect(decisions).toHaveLength(1);
    // The losers are told who decided.
    const wasApproved = decisions[0]!.decision === 'approve';
    for (const [index, answer] of answers.entries()) {
      if ((index % 2 === 0) === wasApproved) expect(answer).toMatchObject({ ok: true });
      else
        expect(answer).toMatchObject({
          ok: false,
          refusal: { code: 'already_decided', message: expect.stringContaining('Ada') },
        });
    }
  });

  it('20 redemptions of one grant use it once', async () => {
    const stepUp = await scene.ask('write_file', WRITE);
    await scene.decide(stepUp, scene.requester, 'approve');
    const answers = await Promise.all(Array.from({ length: 20 }, () => scene.redeem('write_file', WRITE)));
    expect(answers.filter((answer) => answer.ok)).toHaveLength(1);
    for (const answer of answers) if (!answer.ok) expect(answer.refusal.code).toBe('grant_used');
  });

  it('20 repeats of one attempt get one redemption, and only one may run', async () => {
    const stepUp = await scene.ask('write_file', WRITE);
    await scene.decide(stepUp, scene.requester, 'approve');
    const attempt = newId('att');
    const answers = await Promise.all(Array.from({ length: 20 }, () => scene.redeem('write_file', WRITE, attempt)));
    const values = answers.map((answer) => (answer.ok ? answer.value : undefined));
    expect(new Set(values.map((value) => value?.redemption_id)).size).toBe(1);
    expect(values.filter((value) => value?.repeated === false)).toHaveLength(1);
  });

  it('ending the task against 20 redemptions: none succeeds after the end was acknowledged', async () => {
    const stepUp = await scene.ask('write_file', WRITE);
    await scene.decide(stepUp, scene.requester, 'approve');
    const by = { personId: scene.requester.person.id };
    const ending = endTask(store, { taskId: scene.claims.task.id, how: 'cancelled', by });
    const during = Array.from({ length: 10 }, () => scene.redeem('write_file', WRITE));
    await ending;
    const after = await Promise.all(Array.from({ length: 10 }, () => scene.redeem('write_file', WRITE)));
    expect(after.every((answer) => !answer.ok)).toBe(true);
    expect((await Promise.all(during)).filter((answer) => answer.ok).length).toBeLessThanOrEqual(1);
  });
});
