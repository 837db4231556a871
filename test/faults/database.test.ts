import { once } from 'node:events';
import type { Client } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { call, Installation, until } from './installation.ts';
import { postgresProcesses, postmasterOf, readRecord } from './records.ts';

// F8: PostgreSQL stands still or dies under a running server. Nothing gated runs meanwhile; callers are told to try again.

/** A frozen PostgreSQL keeps no limit of its own: ours are 12 s for an answer and 5 s for a connection. */
const ANSWER_MS_MAX = 16_000;
const READY_MS_MAX = 4_000;
const UNKNOWN_TOKEN = 'A'.repeat(43);

let place: Installation;
let client: Client;

beforeAll(async () => {
  place = await Installation.open('database');
  client = await place.connect();
}, 120_000);
afterAll(() => place?.close());

interface Timed {
  readonly path: string;
  readonly status: number;
  readonly retryAfter: string | null;
  readonly ms: number;
}

async function ask(path: string, init: RequestInit = {}): Promise<Timed> {
  const startedAt = performance.now();
  const response = await fetch(`${place.issuer}${path}`, init);
  await response.text();
  const ms = performance.now() - startedAt;
  return { path, status: response.status, retryAfter: response.headers.get('retry-after'), ms };
}

const token = (fields: Record<string, string>) => ({ method: 'POST', body: new URLSearchParams(fields) });
const refresh = token({ grant_type: 'refresh_token', client_id: 'editor', refresh_token: UNKNOWN_TOKEN });

describe('F8: PostgreSQL stands still', () => {
  let stopped: number[] = [];
  const freeze = () => {
    stopped = postgresProcesses(place.dataDirectory);
    for (const pid of stopped) process.kill(pid, 'SIGSTOP');
  };
  const resume = () => {
    for (const pid of stopped.splice(0)) process.kill(pid, 'SIGCONT');
  };
  afterAll(resume);

  test('alive but not ready; everything else is 503 with Retry-After; nothing gated runs; it recovers alone', async () => {
    const waiting = await place.approved(client, 'append', 'frozen');
    freeze();
    const calling = call(client, 'append', 'frozen');
    const [livez, readyz, ...others] = await Promise.all([
      ask('/livez'),
      ask('/readyz'),
      ask(`/link/${UNKNOWN_TOKEN}`),
      ask('/agents', { headers: { cookie: `__Host-countersign=${UNKNOWN_TOKEN}` } }),
      ask('/token', refresh),
      // More than the pool has connections.
      ...Array.from({ length: 12 }, () => ask(`/link/${UNKNOWN_TOKEN}`)),
    ]);
    expect(livez).toMatchObject({ status: 200 });
    expect(readyz).toMatchObject({ status: 503 });
    expect(readyz!.ms).toBeLessThan(READY_MS_MAX);
    for (const answer of others) {
      expect(answer).toMatchObject({ status: 503, retryAfter: expect.stringMatching(/^\d+$/) });
      expect(answer.ms).toBeLessThan(ANSWER_MS_MAX);
    }
    expect(await calling).toMatchObject({ verdict: { kind: 'refused', code: 'unavailable' }, isError: true });
    expect(place.runs('frozen')).toBe(0);
    resume();
    await until('the server is ready again', async () => ((await ask('/readyz')).status === 200 ? true : undefined));
    expect(await call(client, 'append', 'frozen')).toMatchObject({ verdict: null, isError: false });
    expect(place.runs('frozen')).toBe(1);
    expect(await readRecord(place.dataDirectory, waiting.stepUpId)).toMatchObject({ uses: 1, redemptions: 1 });
  }, 120_000);
});

describe('PostgreSQL is gone for good', () => {
  test('the server ends with code 1 and says what happened and what to do; then it starts again with everything', async () => {
    const waiting = await place.approved(client, 'append', 'gone');
    const errors: string[] = [];
    const child = place.server.process;
    child.stderr?.on('data', (text: string) => errors.push(text));
    process.kill(postmasterOf(place.dataDirectory), 'SIGKILL');
    const [code] = await once(child, 'close');
    const told = errors
      .join('')
      .split('\n')
      .filter((line) => !line.startsWith('{'))
      .join('\n');
    expect(code).toBe(1);
    expect(told).toContain('PostgreSQL stopped or crashed');
    expect(told).toContain('start it again');
    expect(told).not.toMatch(/^\s+at |This is a bug/m);
    expect(await call(client, 'append', 'gone')).toMatchObject({ verdict: { code: 'unavailable' }, isError: true });
    expect(place.runs('gone')).toBe(0);
    await place.startServer();
    expect(await readRecord(place.dataDirectory, waiting.stepUpId)).toMatchObject({ state: 'approved', uses: 0 });
    expect(await call(client, 'append', 'gone')).toMatchObject({ verdict: null, isError: false });
    expect(place.runs('gone')).toBe(1);
  }, 120_000);
});
