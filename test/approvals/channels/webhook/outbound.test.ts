import type { ServerResponse } from 'node:http';
import type { LookupFunction } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Message } from '../../../../src/approvals/channel.ts';
import { createWebhookChannel, readRetryAfter } from '../../../../src/approvals/channels/webhook/outbound.ts';
import { parseSecret } from '../../../../src/approvals/channels/webhook/signature.ts';
import { createSafeFetch, type SafeFetchOptions } from '../../../../src/kernel/safe_fetch.ts';
import { Receiver, SECRET } from './receiver.ts';

const MESSAGE: Message = {
  id: 'msg_aaaaaaaaaaaaaaaaaaaaaaaaaa',
  kind: 'step_up.opened',
  occurredAt: new Date('2026-11-23T06:00:00.000Z'),
  stepUp: {
    id: 'stp_bbbbbbbbbbbbbbbbbbbbbbbbbb',
    state: 'open',
    toolServer: 'files',
    tool: 'write_file',
    agent: 'Notes agent',
    requester: 'Ada',
    expiresAt: new Date('2026-11-23T06:15:00.000Z'),
    approvalUrl: 'https://approve.example/step-ups/stp_bbbbbbbbbbbbbbbbbbbbbbbbbb',
  },
};

let receiver: Receiver;
beforeEach(async () => {
  receiver = await Receiver.open();
});
afterEach(() => receiver.close());

function send(options: SafeFetchOptions & { url?: string; message?: Message; signal?: AbortSignal } = {}) {
  const { url = receiver.url, message = MESSAGE, signal = new AbortController().signal, ...rest } = options;
  const fetch = createSafeFetch({ allowedHosts: [receiver.host], timeoutMs: 1_000, ...rest });
  const settings = { url: new URL(url), keys: [parseSecret(SECRET)!] };
  return createWebhookChannel(settings, fetch).send(message, signal);
}

const answering = (status: number, headers: Record<string, string> = {}, body = '') => {
  receiver.answer = (response) => response.writeHead(status, headers).end(body);
};

test('a message arrives signed, with what it tells and nothing else', async () => {
  expect(await send()).toEqual({ kind: 'sent' });
  const [received] = receiver.received;
  expect(received).toMatchObject({ id: MESSAGE.id, isGenuine: true });
  expect(received?.headers['content-type']).toBe('application/json');
  expect(JSON.parse(received?.text ?? '')).toEqual({
    type: 'step_up.opened',
    timestamp: '2026-11-23T06:00:00.000Z',
    data: {
      step_up_id: 'stp_bbbbbbbbbbbbbbbbbbbbbbbbbb',
      state: 'open',
      tool_server: 'files',
      tool: 'write_file',
      agent: 'Notes agent',
      requester: 'Ada',
      expires_at: '2026-11-23T06:15:00.000Z',
      approval_url: 'https://approve.example/step-ups/stp_bbbbbbbbbbbbbbbbbbbbbbbbbb',
    },
  });
});

describe('what the receiver answers', () => {
  test.each([200, 201, 204, 299])('%i is received', async (status) => {
    answering(status);
    expect(await send()).toEqual({ kind: 'sent' });
  });

  test.each([
    [400, {}, null],
    [401, {}, null],
    [404, {}, null],
    [500, {}, null],
    [429, {}, 5_000],
    [503, {}, 5_000],
    [504, {}, 5_000],
    [429, { 'retry-after': '7' }, 7_000],
    [500, { 'retry-after': '120' }, 120_000],
    [503, { 'retry-after': 'soon' }, 5_000],
  ])('%i with %j is tried again, the receiver left alone for %s ms', async (status, headers, pauseMs) => {
    answering(status, headers);
    expect(await send()).toEqual({ kind: 'retry', reason: `The receiver answered ${status}.`, pauseMs });
  });

  test('410 is final', async () => {
    answering(410);
    expect(await send()).toMatchObject({ kind: 'failed', reason: expect.stringContaining('no more messages') });
  });

  test.each([301, 302, 307, 308])('a redirect %i is not followed, and its target gets nothing', async (status) => {
    const other = await Receiver.open();
    answering(status, { location: other.url });
    expect(await send({ allowedHosts: [receiver.host, other.host] })).toMatchObject({
      kind: 'retry',
      reason: expect.stringContaining('redirect'),
    });
    expect(other.received).toEqual([]);
    await other.close();
  });

  test('a large or compressed answer is not read, and the message not repeated', async () => {
    answering(200, {}, 'x'.repeat(100_000));
    expect(await send({ bytesMax: 65_536 })).toMatchObject({ kind: 'failed' });
    receiver.answer = (response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('{}'));
    expect(await send()).toMatchObject({ kind: 'failed' });
  });

  test.each<[string, (response: ServerResponse) => void]>([
    ['answers nothing', () => {}],
    [
      'stops in the middle of its answer',
      (response) => response.writeHead(200, { 'content-length': '9' }).write('abc'),
    ],
  ])('a receiver that %s is given up in time', async (_, answer) => {
    receiver.answer = answer;
    expect(await send({ timeoutMs: 200 })).toMatchObject({ kind: 'retry', reason: expect.stringContaining('in time') });
  });

  test('a receiver that cuts the connection, and one that is not there, are tried again', async () => {
    receiver.answer = (response) => response.socket?.destroy();
    expect(await send()).toMatchObject({ kind: 'retry', pauseMs: 5_000 });
    const gone = await Receiver.open();
    const { url } = gone;
    await gone.close();
    expect(await send({ allowedHosts: ['127.0.0.1:*'], url })).toMatchObject({ kind: 'retry', pauseMs: 5_000 });
  });

  test('an attempt ends when it is told to', async () => {
    receiver.answer = () => {};
    const started = performance.now();
    expect(await send({ signal: AbortSignal.timeout(100), timeoutMs: 20_000 })).toMatchObject({ kind: 'retry' });
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test('nothing the receiver wrote comes back in the reason', async () => {
    receiver.answer = (response) => {
      response.writeHead(500, 'whsec_leaked', { 'x-debug': 'whsec_leaked' }).end('whsec_leaked');
    };
    expect(JSON.stringify(await send())).not.toContain('leaked');
  });
});

describe('Retry-After (RFC 9110 §10.2.3)', () => {
  const now = new Date('2026-11-23T06:00:00.000Z');
  test.each([
    [undefined, null],
    ['', null],
    ['0', 0],
    ['120', 120_000],
    ['-5', null],
    ['9'.repeat(400), null],
    ['Mon, 23 Nov 2026 06:00:30 GMT', 30_000],
    ['Mon, 23 Nov 2026 05:00:00 GMT', 0],
    ['tomorrow', null],
  ])('%s is %s', (value, ms) => expect(readRetryAfter(value, now)).toBe(ms));
});

describe('attacks', () => {
  test.each([
    'https://127.0.0.1/',
    'https://[::1]/',
    'https://169.254.169.254/latest/meta-data/',
    'https://[::ffff:10.0.0.1]/',
    'https://2130706433/',
    'https://postgres.internal/',
  ])('T44 %s gets nothing', async (url) => {
    const reason = expect.stringContaining('not a public one');
    expect(await send({ url, allowedHosts: [] })).toMatchObject({ kind: 'retry', reason });
  });

  test('T45 a name that resolves to this machine gets nothing', async () => {
    const lookup: LookupFunction = (_name, _options, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]);
    const port = new URL(receiver.url).port;
    const answer = await send({ url: `https://hooks.example.com:${port}/`, allowedHosts: [], lookup });
    expect(answer).toMatchObject({ kind: 'retry', reason: expect.stringContaining('not a public one') });
    expect(receiver.received).toEqual([]);
  });

  test('an allowed host is allowed with its port only, so that a neighbour on it gets nothing', async () => {
    const neighbour = await Receiver.open();
    expect(await send({ url: neighbour.url })).toMatchObject({ kind: 'retry' });
    expect(neighbour.received).toEqual([]);
    await neighbour.close();
  });

  test('line breaks in texts of agents stay in the body: no header, no second request', async () => {
    const evil = 'x\r\nwebhook-signature: v1,forged\r\n\r\nPOST /admin HTTP/1.1\r\nhost: x\r\n\r\n';
    const message: Message = {
      ...MESSAGE,
      stepUp: { ...MESSAGE.stepUp, agent: evil, tool: evil, requester: evil, toolServer: evil, approvalUrl: evil },
    };
    expect(await send({ message })).toEqual({ kind: 'sent' });
    expect(receiver.received).toHaveLength(1);
    expect(receiver.received[0]).toMatchObject({ isGenuine: true, data: { agent: evil, tool: evil } });
    expect(receiver.received[0]?.headers['webhook-signature']).not.toContain('forged');
  });

  test('line breaks in the configured address make no header either', async () => {
    const url = `http://${receiver.host}/a\r\nx-injected: 1\r\n/b`;
    expect(await send({ url })).toEqual({ kind: 'sent' });
    expect(receiver.received[0]?.headers).not.toHaveProperty('x-injected');
  });
});
