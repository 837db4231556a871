import { decodeProtectedHeader, type JWK, type JWTPayload, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { LeaseContent } from '../../src/wire/lease.ts';
import { generatePrivateKeyJwk, importSigningKey, type PrivateKeyJwk } from '../../src/wire/signing_key.ts';
import type { FakeLeases } from './fake_leases.ts';
import { answerOf, type GuardedServer, startGuardedServer } from './guarded_server.ts';

const PING = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' });
let server: GuardedServer;
let lines: { level: string; fields: Record<string, unknown>; message: string }[] = [];

/** One server for one test. */
async function startOne(silence?: { gatedSeconds: number; allSeconds: number }): Promise<void> {
  await start(silence);
  onTestFinished(() => server.close());
}

async function start(silence?: { gatedSeconds: number; allSeconds: number }): Promise<void> {
  lines = [];
  const note = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, fields: fields as Record<string, unknown>, message });
  const logger = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') };
  server = await startGuardedServer({ guard: { logger, ...(silence === undefined ? {} : { silence }) } });
}

const claimsOf = (lease: string) => JSON.parse(Buffer.from(lease.split('.')[1]!, 'base64url').toString()) as JWTPayload;
const ping = async (token: string) => (await server.post(PING, { authorization: `Bearer ${token}` })).status;
const until = (condition: () => boolean | Promise<boolean>) =>
  vi.waitUntil(async () => condition(), { timeout: 15_000, interval: 10 });
const textOf = async (name: string, args: object) =>
  (await answerOf(await server.call(name, args))).result.content[0]!.text;

test.each([
  ['token', { jti: 'one' }, 'one'],
  ['task', { task: { id: 'tsk_dead', root: 'tsk_other' } }, 'tsk_dead'],
  ['task', { task: { id: 'tsk_child', root: 'tsk_root' } }, 'tsk_root'],
  ['agent', { act: { sub: 'agt_dead', client_id: 'c' } }, 'agt_dead'],
  ['agent', { act: { sub: 'agt_one', act: { sub: 'agt_before' } } }, 'agt_before'],
  ['person', { sub: 'prs_dead' }, 'prs_dead'],
])('a remembered verdict is refused after the revocation of its %s', async (what, claims, id) => {
  await startOne();
  const { issuer } = server;
  const token = await issuer.token({ claims });
  const other = await issuer.token({ claims: { jti: 'other', sub: 'prs_other' } });
  expect(await ping(token)).toBe(200);
  expect(await ping(other)).toBe(200);
  issuer.leases.revoke(what, id);
  await until(async () => (await ping(token)) === 401);
  expect(await ping(other)).toBe(200);
  // Also after its verdict was dropped: the signature alone is not enough.
  expect(await ping(token)).toBe(401);
});

test('what an agent was issued after it was active again works; what it had before stays dead', async () => {
  await startOne();
  const { issuer } = server;
  const before = await issuer.token();
  expect(await ping(before)).toBe(200);
  issuer.leases.revoke('agent', 'agt_one', Date.now() / 1000 - 6);
  const old = await issuer.token({ claims: { iat: Math.floor(Date.now() / 1000) - 60 } });
  await until(async () => (await ping(old)) === 401);
  expect(await ping(before)).toBe(200);
});

test('a word of a newer server makes the guard forget what it remembers', async () => {
  await startOne();
  const { issuer } = server;
  const token = await issuer.token();
  expect(await ping(token)).toBe(200);
  issuer.leases.keys = [];
  issuer.leases.revoke('something_new', 'x');
  await until(async () => (await ping(token)) === 401);
});

const stranger = async (): Promise<JWK> => {
  const jwk = await generatePrivateKeyJwk();
  return { ...jwk, kid: (await importSigningKey(jwk)).thumbprint, alg: 'ES256' };
};

describe('a lease is refused and counted', () => {
  let refused = 0;
  beforeAll(async () => {
    await start();
    server.issuer.leases.revoke('grant', 'g');
    await until(() => server.issuer.leases.asked.at(-1)?.cursor?.position === 1);
  });
  afterAll(() => server.close());

  const content = (change: (content: LeaseContent) => Partial<LeaseContent>) => (leases: FakeLeases) => {
    leases.forge = (right) => ({ ...right, ...change(right) });
  };
  test.each<[reason: string, what: string, forge: (leases: FakeLeases) => void | Promise<void>]>([
    ['issuer', 'of another issuer', content(() => ({ iss: 'https://evil.example' }))],
    ['audience', 'for another tool server', content(() => ({ aud: 'https://other.example/mcp' }))],
    ['nonce', 'the answer to another request', content(() => ({ nonce: 'a-nonce-of-another-request' }))],
    ['serial', 'with a lower serial of the same epoch', content(() => ({ serial: 0, position: 0 }))],
    ['position', 'with a lower position that it does not explain', content(() => ({ position: 0 }))],
    ['claims', 'with a serial below its position', content(({ position }) => ({ serial: position - 1 }))],
    ['key', 'signed with a key of tokens', (leases) => content(() => ({ keys: [leases.publicJwk.kid!] }))(leases)],
    [
      'key',
      'signed with a key that nobody published',
      async (leases) => {
        leases.signWith = await stranger();
      },
    ],
    [
      'signature',
      'signed with another key under a known id',
      async (leases) => {
        leases.signWith = { ...(await stranger()), kid: leases.publicJwk.kid! };
      },
    ],
    [
      'type',
      'of the type of access tokens',
      async (leases) => {
        const key = await stranger();
        server.issuer.published.push((await importSigningKey(key as PrivateKeyJwk)).publicJwk);
        const header = { alg: 'ES256', typ: 'at+jwt', kid: key.kid! };
        leases.replace = (lease) => new SignJWT(claimsOf(lease)).setProtectedHeader(header).sign(key);
      },
    ],
    [
      'malformed',
      'that is no JWS',
      (leases) => {
        leases.replace = () => 'lease';
      },
    ],
    [
      'expired',
      'that has ended',
      (leases) => {
        leases.clockAheadMs = -120_000;
      },
    ],
  ])('%s: one %s', async (reason, _what, forge) => {
    const { leases } = server.issuer;
    lines = [];
    const given = leases.given;
    await forge(leases);
    leases.wake();
    await until(() => lines.some(({ fields }) => fields.reason === reason));
    const reasons = lines.filter(({ fields }) => fields.reason !== undefined);
    expect(new Set(reasons.map(({ fields }) => fields.reason))).toEqual(new Set([reason]));
    expect(reasons[0]).toMatchObject({ level: 'warn', fields: { refused_leases: refused + 1 } });
    await until(() => leases.given > given + 1);
    expect(leases.asked.at(-1)!.cursor, 'what was refused moved nothing').toMatchObject({ position: 1 });
    Object.assign(leases, { forge: (right: LeaseContent) => right, replace: (lease: string) => lease });
    Object.assign(leases, { signWith: null, clockAheadMs: 0 });
    await until(() => lines.some(({ message }) => message === 'a lease was had again'));
    refused = Number(lines.filter(({ fields }) => fields.reason !== undefined).at(-1)!.fields.refused_leases);
  });
});

test('no key of leases signs access tokens, whatever the key set of the issuer holds', async () => {
  await startOne();
  const { issuer } = server;
  const key = await stranger();
  const { publicJwk, thumbprint, privateKey } = await importSigningKey(key as PrivateKeyJwk);
  issuer.published.push(publicJwk);
  const token = await issuer.token({ key: { publicJwk, thumbprint, privateKey } });
  expect(await ping(token)).toBe(401);
  // The counter-proof: named as a key of tokens, the same token passes.
  issuer.leases.keys = [...issuer.leases.keys, thumbprint];
  issuer.leases.wake();
  await until(async () => (await ping(token)) === 200);
});

test('a token of a key that is a moment old is not refused, and unknown key ids cost one look a second', async () => {
  await startOne();
  const { issuer } = server;
  expect(await ping(await issuer.token())).toBe(200);
  const newest = await issuer.signWithNewKey();
  issuer.published.push(newest.publicJwk);
  issuer.leases.keys = [...issuer.leases.keys, newest.thumbprint];
  // No lease told of it yet.
  expect(await ping(await issuer.token())).toBe(200);
  const reads = issuer.keyReads;
  const startedAt = performance.now();
  const unknown = await importSigningKey(await generatePrivateKeyJwk());
  const token = await issuer.token({ key: unknown });
  const statuses = await Promise.all(Array.from({ length: 30 }, () => ping(token)));
  expect(new Set(statuses)).toEqual(new Set([401]));
  expect(issuer.keyReads - reads).toBeLessThanOrEqual(2 + (performance.now() - startedAt) / 1000);
});

test('a lease that names a new key makes the guard read the keys before a token needs them', async () => {
  await startOne();
  const { issuer } = server;
  const reads = issuer.keyReads;
  const newest = await issuer.signWithNewKey();
  issuer.published.push(newest.publicJwk);
  issuer.leases.keys = [...issuer.leases.keys, newest.thumbprint];
  issuer.leases.revoke('keys', newest.thumbprint);
  await until(() => issuer.keyReads === reads + 1);
});

test('an emergency: tokens of a revoked key are refused, remembered ones too', async () => {
  await startOne();
  const { issuer } = server;
  const token = await issuer.token();
  expect(await ping(token)).toBe(200);
  const old = issuer.leases.keys[0]!;
  const newest = await issuer.signWithNewKey();
  // A node that has not heard of it yet still publishes and names the old key.
  issuer.published.push(newest.publicJwk);
  issuer.leases.keys = [old, newest.thumbprint];
  issuer.leases.revoke('key', old);
  await until(async () => (await ping(token)) === 401);
  expect(await ping(await issuer.token())).toBe(200);
});

test.each(['a new epoch', 'a smaller head'])(
  '%s: all is forgotten, and gated calls wait for the next good lease',
  async (what) => {
    await startOne();
    const { issuer } = server;
    const { leases } = issuer;
    leases.revoke('grant', 'g');
    await until(() => leases.asked.at(-1)?.cursor?.position === 1);
    const token = await issuer.token();
    expect(await ping(token)).toBe(200);
    // The next lease after the one that says so is held back.
    const continued = Promise.withResolvers<void>();
    let resyncs = 0;
    leases.replace = async (lease) => {
      const claims = JSON.parse(Buffer.from(lease.split('.')[1]!, 'base64url').toString()) as { resync?: true };
      if (claims.resync === true) resyncs += 1;
      else await continued.promise;
      return lease;
    };
    leases.keys = [];
    if (what === 'a new epoch') leases.epoch = 'epoch-two';
    else leases.position = 0;
    leases.wake();
    await until(async () => (await ping(token)) === 401);
    expect(resyncs).toBe(1);
    leases.keys = [decodeProtectedHeader(token).kid!];
    // Permits go on meanwhile, by verdicts of the old keys only; so ask by what needs approval, with keys known again.
    continued.resolve();
    await until(async () => (await ping(token)) === 200);
  },
);

test('while the log is read anew, what needs approval is refused and what is permitted goes on', async () => {
  await startOne();
  const { leases } = server.issuer;
  const continued = Promise.withResolvers<void>();
  let isResynced = false;
  leases.replace = async (lease) => {
    if (isResynced) await continued.promise;
    isResynced ||= 'resync' in claimsOf(lease);
    return lease;
  };
  leases.epoch = 'epoch-two';
  leases.wake();
  await until(async () => (await textOf('write_note', { text: 'a' })).includes('reading anew what was revoked'));
  expect(server.issuer.count('challenges')).toBe(0);
  expect(await textOf('read_notes', {})).toBe('no notes yet');
  continued.resolve();
  await until(async () => (await textOf('write_note', { text: 'a' })).includes('a person must approve'));
});

test('silence: gated calls are refused first, an approved one too, then all; each says why; all come back', async () => {
  await startOne({ gatedSeconds: 2, allSeconds: 12 });
  const { issuer } = server;
  await server.call('write_note', { text: 'approved before' });
  issuer.decide(await issuer.nextOpen(), 'approved');
  issuer.leases.isMute = true;
  issuer.leases.wake();
  await until(async () =>
    (await textOf('write_note', { text: 'b' })).includes('No call that needs approval is allowed'),
  );
  expect(await textOf('write_note', { text: 'approved before' })).toMatch(
    /heard nothing .* for \d+ s, so it cannot know/,
  );
  expect(issuer.count('redeem'), 'the grant is not used up').toBe(0);
  expect(await textOf('read_notes', {})).toBe('no notes yet');
  await until(async () => (await textOf('read_notes', {})).includes('No call is allowed until it has.'));
  const refused = await answerOf(await server.post(PING));
  expect(refused.error?.message).toContain('No call is allowed');
  issuer.leases.isMute = false;
  await until(async () => (await textOf('read_notes', {})) === 'no notes yet');
  expect(await textOf('write_note', { text: 'approved before' })).toBe('wrote approved before');
}, 60_000);

test('the first call after an outage is not refused for want of a lease: it asks for one', async () => {
  await startOne({ gatedSeconds: 2, allSeconds: 60 });
  const { leases } = server.issuer;
  const good = leases.replace;
  const fail = () => {
    leases.replace = () => 'no lease';
    leases.wake();
  };
  fail();
  for (let round = 0; round < 3; round += 1) {
    await until(async () => (await textOf('write_note', { text: 'b' })).includes('No call that needs approval'));
    leases.replace = good;
    expect(await textOf('write_note', { text: 'b' })).toContain('a person must approve');
    fail();
  }
}, 60_000);

test('a guard that stood still between redeeming and running runs nothing, and says that it did not', async () => {
  await startOne({ gatedSeconds: 2, allSeconds: 3 });
  const { issuer } = server;
  await server.call('write_note', { text: 'late' });
  const stepUp = await issuer.nextOpen();
  issuer.decide(stepUp, 'approved');
  issuer.beforeRedeemAnswer = () => {
    issuer.leases.isMute = true;
    const endsAt = performance.now() + 3_500;
    while (performance.now() < endsAt);
    return 'answer';
  };
  expect(await textOf('write_note', { text: 'late' })).toContain('No call is allowed until it has.');
  expect(server.runs).toHaveLength(0);
  expect(stepUp.redemption).toMatchObject({ outcome: 'failed' });
}, 30_000);

test.each([-7_000, 7_000, -90_000])(
  'a clock %i ms off refuses what needs approval and names the clock',
  async (offset) => {
    await startOne();
    const { leases } = server.issuer;
    leases.clockAheadMs = offset;
    leases.wake();
    const direction = offset < 0 ? 'ahead of' : 'behind';
    await until(async () => {
      const text = await textOf('write_note', { text: 'c' });
      return text.includes(`s ${direction} that of its Countersign server`) && text.includes('correct its clock');
    });
    expect(await textOf('read_notes', {})).toBe('no notes yet');
    leases.clockAheadMs = offset < 0 ? -3_000 : 3_000;
    leases.wake();
    await until(async () => (await textOf('write_note', { text: 'c' })).includes('a person must approve'));
  },
  30_000,
);

test('no call asks for a lease', async () => {
  await startOne();
  const { issuer } = server;
  await until(() => issuer.leases.asked.at(-1)?.seconds === 5);
  const asked = issuer.leases.asked.length;
  for (let count = 0; count < 20; count += 1) await textOf('read_notes', {});
  expect(issuer.leases.asked.length - asked).toBeLessThanOrEqual(1);
});
