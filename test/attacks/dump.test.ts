import { createHash, createPrivateKey, randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { CHECKPOINT_KEY_PURPOSE } from '../../src/events/checkpoint_key.ts';
import { createVault } from '../../src/kernel/vault.ts';
import { openKeyring } from '../../src/keys/keyring.ts';
import { makeLink } from '../../src/people/make_link.ts';
import { RawAgent } from '../api/raw_agent.ts';
import { RawGuard } from '../api/raw_guard.ts';
import { startTwoNodes, type TwoNodes } from '../faults/two_nodes.ts';
import { TestRedis } from '../support/redis.ts';
import { createTestStore } from '../support/test_store.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 180_000 });

const REDIRECT = 'http://127.0.0.1:1/callback';
/** Shorter values are words and numbers, not secrets. */
const SECRET_CHARACTERS_MIN = 20;

let place: TwoNodes;
let redis: TestRedis;
let guard: RawGuard;
/** Every credential that passed, by what it was. */
const secrets = new Map<string, string>();
let inPostgres: string;
let inRedis: string;

beforeAll(async () => {
  redis = await TestRedis.open();
  const watched = watchRequests();
  place = await startTwoNodes({
    'redis.topology': 'single',
    'redis.nodes': [`127.0.0.1:${redis.port}`],
    clients: [{ client_id: 'editor', client_name: 'Editor', redirect_uris: [REDIRECT] }],
  });
  guard = await RawGuard.listen(place.world.issuer, 'notes');
  await workForAWhile();
  watched.mockRestore();
  await readKeys();
  inPostgres = await dumpPostgres();
  inRedis = await dumpRedis();
});
afterAll(async () => {
  await guard?.close();
  await place?.close();
  await redis?.kill();
});

function note(what: string, value: string | null | undefined): void {
  if (value && value.length >= SECRET_CHARACTERS_MIN) secrets.set(value, what);
}

/** Looks at all that this process sends and gets, as a thief of everything but the database would have it. */
function watchRequests() {
  const real = globalThis.fetch;
  return vi.spyOn(globalThis, 'fetch').mockImplementation(async (input, init) => {
    noteText(String(init?.body ?? ''));
    noteText(String(input));
    const response = await real(input, init);
    for (const cookie of response.headers.getSetCookie()) {
      const [name = '', value = ''] = (cookie.split(';')[0] ?? '').split('=');
      note(`cookie ${name}`, value);
    }
    noteText(response.headers.get('location') ?? '');
    noteText(await response.clone().text());
    return response;
  });
}

const CREDENTIALS = [
  /"(access_token|refresh_token|id_token|challenge)":"([^"]+)"/g,
  /[?&]?\b(code|code_verifier|client_assertion|refresh_token|access_token|csrf|attempt|token)=([A-Za-z0-9._~-]+)/g,
  /name="(csrf|token|attempt|decision_token)"[^>]*value="([^"]+)"/g,
  /\/(link)\/([A-Za-z0-9_-]+)/g,
];

function noteText(text: string): void {
  for (const pattern of CREDENTIALS) for (const [, what = '', value] of text.matchAll(pattern)) note(what, value);
}

/** A guard and an agent with tokens, a code that was redeemed and one that was not, links, a passkey that was asked for. */
async function workForAWhile(): Promise<void> {
  const { world } = place;
  const { store, operator, operatorId, issuer } = world;
  await guard.register();
  await operator.submit(await operator.open(`/tool-servers/${guard.toolServerId}`), { action: /\/accept$/ });
  await guard.token();
  const agent = await RawAgent.register(world);
  await agent.taskToken(guard, await agent.startTask(guard));
  const redeemed = await consent();
  const form = { grant_type: 'authorization_code', client_id: 'editor', redirect_uri: REDIRECT, ...redeemed };
  const answer = await fetch(`${issuer}/token`, { method: 'POST', body: new URLSearchParams(form) });
  const { refresh_token } = (await answer.json()) as { refresh_token: string };
  const renewal = { grant_type: 'refresh_token', client_id: 'editor', resource: guard.resource, refresh_token };
  await fetch(`${issuer}/token`, { method: 'POST', body: new URLSearchParams(renewal) });
  await consent();
  await operator.open(`/authorize?${tripOf(randomBytes(32).toString('base64url'))}`);
  const link = { isAdministrator: false, createdBy: null, ttlSeconds: 60 };
  note('link', (await makeLink(store, { ...link, kind: 'sign_in', personId: operatorId })).token);
  note('link', (await makeLink(store, { ...link, kind: 'invitation', createdBy: operatorId })).token);
  const headers = { origin: issuer, 'content-type': 'application/json', accept: 'application/json' };
  const options = await fetch(`${issuer}/sign-in/options`, { method: 'POST', headers, body: '{}' });
  expect(options.status).toBe(200);
}

async function consent(): Promise<{ code: string; code_verifier: string }> {
  const { operator } = place.world;
  const code_verifier = randomBytes(32).toString('base64url');
  const page = await operator.open(`/authorize?${tripOf(code_verifier)}`);
  const allow = { action: /\/consent$/, having: { decision: 'allow' } };
  const back = await operator.submit(page, allow, { seconds: '3600' });
  const code = new URL(back.url).searchParams.get('code') ?? '';
  note('code', code);
  return { code, code_verifier };
}

function tripOf(verifier: string): URLSearchParams {
  return new URLSearchParams({
    client_id: 'editor',
    response_type: 'code',
    redirect_uri: REDIRECT,
    scope: 'mcp:tools',
    resource: guard.resource,
    state: 'not-a-secret',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
}

/** What only the servers have. */
async function readKeys(): Promise<void> {
  const vault = createVault(place.rootKey);
  const keyring = await openKeyring(createTestStore(place.database, { vault, issuer: place.world.issuer }));
  for (const purpose of ['token', 'lease'] as const) note(`${purpose} key`, keyring.signer(purpose).d);
  for (const secret of keyring.secrets()) note('cookie key', secret);
  await keyring.stop();
  const rows = await place.database.db.selectFrom('keys').selectAll().where('purpose', '=', 'checkpoint').execute();
  const der = vault.open(CHECKPOINT_KEY_PURPOSE, rows[0]!.private_sealed);
  note('checkpoint key', createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'jwk' }).d);
  note('root key', place.rootKey.toString('base64url'));
}

/** Every column of every table as text; bytea comes as hex. */
async function dumpPostgres(): Promise<string> {
  const { db } = place.database;
  const { rows } = await sql<{ name: string }>`
    select table_name as name from information_schema.tables where table_schema = 'public'`.execute(db);
  const parts: string[] = [];
  for (const { name } of rows) {
    const found = await sql<{ row: string }>`select one::text as row from ${sql.table(name)} as one`.execute(db);
    parts.push(name, ...found.rows.map(({ row }) => row));
  }
  return parts.join('\n');
}

/** Every key and what it holds, as text and as hex. */
async function dumpRedis(): Promise<string> {
  const client = new Redis({ port: redis.port });
  try {
    const parts: string[] = [];
    for (const key of await client.keys('*')) {
      const type = await client.type(key);
      const value =
        type === 'hash' ? Object.entries(await client.hgetall(key)).flat() : [await readOne(client, type, key)];
      for (const one of [key, ...value]) parts.push(one, Buffer.from(one).toString('hex'));
    }
    return parts.join('\n');
  } finally {
    client.disconnect();
  }
}

async function readOne(client: Redis, type: string, key: string): Promise<string> {
  if (type === 'string') return (await client.get(key)) ?? '';
  if (type === 'set') return (await client.smembers(key)).join('\n');
  if (type === 'zset') return (await client.zrange(key, '0', '-1')).join('\n');
  if (type === 'list') return (await client.lrange(key, 0, -1)).join('\n');
  throw new Error(`Redis holds a ${type}, which this test does not read.`);
}

/** The ways in which a value could lie in a dump. */
function formsOf(secret: string): string[] {
  const bytes = [Buffer.from(secret), Buffer.from(secret, 'base64url')];
  const written = bytes.flatMap((one) => [
    one.toString('hex'),
    // Without padding, and without the last letter, which depends on what follows.
    one.toString('base64').replace(/=+$/, '').slice(0, -1),
    one.toString('base64url').slice(0, -1),
  ]);
  return [secret, ...written].filter((form) => form.length >= SECRET_CHARACTERS_MIN);
}

const foundIn = (dump: string) =>
  [...secrets].filter(([secret]) => formsOf(secret).some((form) => dump.includes(form))).map(([, what]) => what);

describe('invariant 10: a dump holds no usable credential', () => {
  test('credentials of every kind have passed', () => {
    const kinds = new Set([...secrets.values()].map((what) => what.replace(/^cookie countersign[-_]?/, 'cookie ')));
    for (const kind of [
      ...['access_token', 'refresh_token', 'code', 'code_verifier', 'client_assertion', 'challenge', 'link', 'csrf'],
      ...['token key', 'lease key', 'cookie key', 'checkpoint key', 'root key'],
    ]) {
      expect([...kinds]).toContain(kind);
    }
    expect([...kinds].filter((kind) => kind.startsWith('cookie ')).length).toBeGreaterThan(3);
    // Both were used.
    expect(inPostgres).toContain('token.issued');
    expect(inRedis.length).toBeGreaterThan(1_000);
  });

  test('of PostgreSQL: every table and column', () => {
    expect(foundIn(inPostgres)).toEqual([]);
  });

  test('of Redis: every key and value', () => {
    expect(foundIn(inRedis)).toEqual([]);
  });

  test('and would be found there, in each way of writing', () => {
    const [secret] = [...secrets].find(([, what]) => what === 'refresh_token')!;
    for (const form of formsOf(secret)) expect(foundIn(`x${form}x`)).toContain('refresh_token');
  });
});
