import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { viewStepUp } from '../../src/approvals/view.ts';
import type { SignedIn } from '../../src/model/person.ts';
import { csrfToken } from '../../src/people/csrf.ts';
import { findSession } from '../../src/people/session.ts';
import { hiddenFields, type ServedConsole, serveConsole } from '../console/served_console.ts';

let served: ServedConsole;
let stepUpId: string;
let fileNumber = 0;

beforeAll(async () => {
  served = await serveConsole({ rules: { criticalDwellSeconds: 2 } });
});
afterAll(() => served?.close());
beforeEach(async () => {
  await served.scenario.startTask();
  stepUpId = await ask();
});

function nextCall() {
  return { path: `/notes/${fileNumber++}.md`, content: 'text' };
}

function ask(): Promise<string> {
  return served.scenario.ask('write_file', nextCall());
}

async function stateOf(id = stepUpId): Promise<string> {
  const view = await viewStepUp(served.store, { stepUpId: id, personId: served.scenario.administrator.person.id });
  if (!view.ok) throw new Error(view.refusal.message);
  return view.value.state;
}

/** A signed-in browser, with what our own forms would carry in its session. */
async function session(of: SignedIn) {
  const cookie = await served.signIn(of);
  const signedIn = (await findSession(served.store, cookie.slice(cookie.indexOf('=') + 1)))!;
  return {
    cookie,
    csrf: (id: string) => csrfToken(served.store, signedIn, `decision:${id}`),
    fields: async (id: string) => hiddenFields(await (await served.get(`/step-ups/${id}`, cookie)).text(), 'approve'),
    decide: (id: string, fields: Record<string, string>) => served.post(`/step-ups/${id}/decision`, cookie, fields),
  };
}

describe('T35: the id of a step-up is no authority', () => {
  test('T35: whoever has no part in it learns nothing by its id, and decides nothing', async () => {
    const stranger = await session(await served.scenario.addPerson('Mallory', false));
    const unknown = `stp_${'a'.repeat(26)}`;
    const pages: string[] = [];
    for (const id of [stepUpId, unknown]) {
      for (const path of ['', '/live?state=x']) {
        const answer = await served.get(`/step-ups/${id}${path}`, stranger.cookie);
        expect(answer.status).toBe(404);
        if (path === '') pages.push((await answer.text()).replaceAll(id, 'ID'));
      }
      const fields = { csrf: stranger.csrf(id), token: 'x', decision: 'approve' };
      expect((await stranger.decide(id, fields)).status).toBe(404);
      const confirmation = await served.post(`/step-ups/${id}/confirmation`, stranger.cookie, fields);
      expect(confirmation.status).toBe(404);
    }
    const withoutTokens = pages.map((page) => page.replace(/name="csrf" value="[^"]*"/g, ''));
    expect(withoutTokens[0]).toBe(withoutTokens[1]);
    expect(await stateOf()).toBe('open');
  });

  test('T35: without a session there is only the way to sign in', async () => {
    const answer = await served.get(`/step-ups/${stepUpId}`);
    expect([302, 303]).toContain(answer.status);
    expect(answer.headers.get('location')).toContain('/sign-in');
    const posted = await served.post(`/step-ups/${stepUpId}/decision`, '', { decision: 'approve' });
    expect([302, 303, 401, 403]).toContain(posted.status);
    expect(await stateOf()).toBe('open');
  });

  test('T35: what was read by one person, or of one request, does not decide in another’s name or of another', async () => {
    const approver = await session(served.scenario.administrator);
    const other = await session(served.scenario.administrator);
    const read = await approver.fields(stepUpId);
    const elsewhere = await ask();
    const attempts = [
      await other.decide(stepUpId, { ...read, csrf: other.csrf(stepUpId) }),
      await approver.decide(elsewhere, { ...read, csrf: approver.csrf(elsewhere) }),
    ];
    expect(attempts.map((answer) => answer.status)).toEqual([409, 409]);
    expect(await stateOf()).toBe('open');
    expect(await stateOf(elsewhere)).toBe('open');
    expect((await approver.decide(stepUpId, read)).status).toBe(303);
    expect(await stateOf()).toBe('approved');
  });
});

describe('T39: the token of the page that was read', () => {
  test('T39: missing, cut, made up, of another time or posted without its session: nothing changes', async () => {
    const approver = await session(served.scenario.administrator);
    const fields = await approver.fields(stepUpId);
    const [shownAt = '', mac = ''] = fields.token!.split('.');
    const { token: _, ...without } = fields;
    const attempts: Record<string, string>[] = [
      without,
      { ...fields, token: '' },
      { ...fields, token: shownAt },
      { ...fields, token: `${shownAt}.${mac.slice(0, -1)}` },
      { ...fields, token: `${Number(shownAt) - 60}.${mac}` },
      { ...fields, token: `${shownAt}.${'A'.repeat(mac.length)}` },
    ];
    for (const attempt of attempts) {
      expect((await approver.decide(stepUpId, attempt)).status, JSON.stringify(attempt.token)).toBe(409);
    }
    const stranger = await served.scenario.addPerson('Eve', true);
    const foreign = await (await session(stranger)).decide(stepUpId, fields);
    expect(foreign.status).toBe(403);
    expect(await stateOf()).toBe('open');
  });
});

describe('T41: people are not worn down', () => {
  test('T41: the sixth request of an agent within a minute is refused and tells when to come back', async () => {
    await served.scenario.startTask();
    for (let count = 0; count < 5; count += 1) await ask();
    const sixth = await served.scenario.evaluate('write_file', nextCall());
    expect(sixth).toMatchObject({
      decision: 'deny',
      refusal: { error: 'too_many_step_ups', detail: { retry_after_seconds: 60 } },
    });
    await served.scenario.startTask();
    expect((await served.scenario.evaluate('write_file', nextCall())).decision).toBe('step_up');
  });

  test('T41: twenty at the same time are five', async () => {
    await served.scenario.startTask();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => served.scenario.evaluate('write_file', nextCall())),
    );
    expect(answers.filter((answer) => answer.decision === 'step_up')).toHaveLength(5);
    expect(answers.filter((answer) => answer.decision === 'deny')).toHaveLength(15);
  });

  test('T41: a denied call that comes again asks nobody and hears the reason again', async () => {
    const call = nextCall();
    const id = await served.scenario.ask('write_file', call);
    const approver = await session(served.scenario.administrator);
    const fields = { ...(await approver.fields(id)), decision: 'deny', reason: 'Not this file.' };
    expect((await approver.decide(id, fields)).status).toBe(303);
    for (let round = 0; round < 3; round += 1) {
      expect(await served.scenario.evaluate('write_file', call)).toMatchObject({
        decision: 'deny',
        refusal: { error: 'step_up_denied', detail: { step_up_id: id, reason: 'Not this file.' } },
      });
    }
    const { db } = served.store;
    const { binding_digest } = await db
      .selectFrom('step_ups')
      .select('binding_digest')
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
    const same = await db.selectFrom('step_ups').select('id').where('binding_digest', '=', binding_digest).execute();
    expect(same).toHaveLength(1);
  });

  test('T41: a critical call is not approved as fast as a reflex', async () => {
    const id = await served.scenario.ask('erase_disk', { disk: `/dev/${fileNumber++}` });
    const { administrator } = served.scenario;
    const fast = await served.scenario.decide(id, administrator, 'approve', { shownSecondsAgo: 1 });
    expect(fast).toMatchObject({ ok: false, refusal: { code: 'decided_too_fast' } });
    expect(await stateOf(id)).toBe('open');
    const read = await served.scenario.decide(id, administrator, 'approve', { shownSecondsAgo: 3 });
    expect(read).toMatchObject({ ok: true, value: { state: 'approved' } });
    const denied = await served.scenario.ask('erase_disk', { disk: `/dev/${fileNumber++}` });
    expect((await served.scenario.decide(denied, administrator, 'deny')).ok).toBe(true);
  });
});
