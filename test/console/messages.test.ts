import { afterAll, beforeAll, expect, it } from 'vitest';
import { type ServedConsole, serveConsole } from './served_console.ts';

let console_: ServedConsole;
let cookie: string;

beforeAll(async () => {
  console_ = await serveConsole();
  cookie = await console_.signIn(console_.scenario.administrator);
  await console_.store.db
    .insertInto('outbox')
    .values({
      id: 'msg_failed',
      channel: 'webhook',
      kind: 'agent.offboarded',
      subject_id: 'agt_gone',
      state: 'failed',
      attempts: 40,
      leased_until: null,
      finished_at: new Date(),
      last_error: 'The receiver answered <410>.',
    })
    .execute();
});
afterAll(() => console_.close());

const page = async (as: string) => {
  const answer = await console_.get('/messages', as);
  return { status: answer.status, text: await answer.text() };
};

it('an administrator sees what was given up and why, and sends it again', async () => {
  const { status, text } = await page(cookie);
  expect(status).toBe(200);
  for (const words of ['An agent was offboarded', 'agt_gone', 'The receiver answered &lt;410&gt;.', '40 attempts']) {
    expect(text).toContain(words);
  }
  const csrf = /action="\/messages\/msg_failed\/retry"><input type="hidden" name="csrf" value="([^"]+)"/.exec(
    text,
  )?.[1];
  const forged = await console_.post('/messages/msg_failed/retry', cookie, { csrf: 'x' });
  expect(forged.status).toBe(403);
  const sent = await console_.post('/messages/msg_failed/retry', cookie, { csrf: csrf! });
  expect(sent.status).toBe(303);
  const row = await console_.store.db.selectFrom('outbox').selectAll().executeTakeFirstOrThrow();
  expect(row).toMatchObject({ id: 'msg_failed', state: 'waiting', attempts: 0 });
  expect((await page(cookie)).text).toContain('will be listed here');
});

it('nobody else does', async () => {
  const other = await console_.signIn(console_.scenario.requester);
  expect((await page(other)).status).toBe(403);
});
