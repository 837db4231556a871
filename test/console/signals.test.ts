import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeStream } from '../../src/signals/streams/make_stream.ts';
import { type ServedConsole, serveConsole } from './served_console.ts';

let served: ServedConsole;
let streamId: string;
let cookie: string;
beforeAll(async () => {
  served = await serveConsole();
  cookie = await served.signIn(served.scenario.administrator);
});
afterAll(() => served.close());

const open = async () => (await served.get('/signals', cookie)).text();
const csrfOf = (page: string) =>
  /action="\/signals\/[^"]+"><input type="hidden" name="csrf" value="([^"]+)"/.exec(page)![1]!;

test('an empty page says what will be there and how', async () => {
  const page = await open();
  expect(page).toContain('API token of scope <code>signals</code>');
  expect(page).toContain('signals.transmitters');
});

test('shows what was given up and why, lets it be sent again, and lets a receiver go', async () => {
  const { store } = served;
  const made = await makeStream(store, {
    ...{ receiver: 'siem <b>', apiTokenId: 'apt_test', eventsRequested: [], description: null, allowedHosts: [] },
    delivery: {
      method: 'urn:ietf:rfc:8935',
      endpoint_url: 'https://siem.example/',
      authorization_header: 'Bearer s3cret',
    },
  });
  if (!made.ok) throw new Error(made.refusal.message);
  streamId = made.value.id;
  const claims = JSON.stringify({ sub_id: {}, events: { 'urn:x': {} } });
  const message = { stream_id: streamId, claims, state: 'failed' as const, last_error: 'It answered 500.' };
  await store.db
    .insertInto('signal_messages')
    .values([
      { jti: 'a', ...message },
      { jti: 'b', ...message },
    ])
    .execute();
  const page = await open();
  expect(page).toContain('siem &lt;b&gt;');
  expect(page).toContain('2 events');
  expect(page).toContain('It answered 500.');
  expect(page).not.toContain('s3cret');

  const csrf = csrfOf(page);
  const forged = await served.post(`/signals/${streamId}/retry`, cookie, { csrf: 'x' });
  expect(forged.status).toBe(403);
  expect((await served.post(`/signals/${streamId}/retry`, cookie, { csrf })).status).toBe(303);
  const states = await store.db.selectFrom('signal_messages').select('state').execute();
  expect(states).toEqual([{ state: 'waiting' }, { state: 'waiting' }]);
  expect((await served.post(`/signals/${streamId}/delete`, cookie, { csrf })).status).toBe(303);
  expect(await store.db.selectFrom('signal_streams').select('id').execute()).toEqual([]);
  expect((await served.post(`/signals/${streamId}/delete`, cookie, { csrf })).status).toBe(404);
});

test('is for administrators only', async () => {
  const other = await served.signIn(served.scenario.requester);
  expect((await served.get('/signals', other)).status).toBe(403);
  expect((await served.post(`/signals/${streamId}/delete`, other, { csrf: 'x' })).status).toBe(403);
});
