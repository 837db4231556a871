import { jwtVerify, SignJWT } from 'jose';
import type { KyselyPlugin } from 'kysely';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { TokenVerifier } from '../../src/api/bearer.ts';
import { type Keyring, KeysOutdated, openKeyring } from '../../src/keys/keyring.ts';
import { KEYS_STALE_SECONDS_MAX } from '../../src/keys/limits.ts';
import { readKeys } from '../../src/keys/read_keys.ts';
import { revokeKey } from '../../src/keys/retire.ts';
import { rotateKey } from '../../src/keys/rotate.ts';
import { tokenVerificationKeys } from '../../src/keys/verification_keys.ts';
import type { Store } from '../../src/store/store.ts';
import { generatePrivateKeyJwk } from '../../src/wire/signing_key.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';

let database: TestDatabase;
const keyrings: Keyring[] = [];
/** As in a process of its own. */
const open = async (store: Store = createTestStore(database)) => {
  const keyring = await openKeyring(store);
  keyrings.push(keyring);
  return { keyring, store };
};
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  for (const keyring of keyrings) await keyring.stop();
  await database.drop();
});

test('of several processes that start at once one makes the keys; all load the same, also after a restart', async () => {
  const loads = await Promise.all([1, 2, 3, 4, 5].map(async () => (await open()).keyring));
  for (const keyring of loads) {
    expect(keyring.kids()).toEqual(loads[0]!.kids());
    expect(keyring.secrets()).toEqual(loads[0]!.secrets());
  }
  expect(loads[0]!.kids()).toHaveLength(2);
  expect(loads[0]!.signer('token').kid).not.toBe(loads[0]!.signer('lease').kid);
  expect((await open()).keyring.kids()).toEqual(loads[0]!.kids());
  const events = await database.db.selectFrom('events').select('kind').where('kind', '=', 'key.made').execute();
  expect(events).toHaveLength(3);
});

describe('a keyring', () => {
  test('follows changes of other processes, told or not', async () => {
    const told = await open();
    const untold = await open();
    let changes = 0;
    untold.keyring.onChange(() => {
      changes += 1;
    });
    const { kid } = await rotateKey(told.store, 'token', 60);
    // Its own process hears of it; the other one looks each second.
    await expect.poll(() => told.keyring.kids(), { timeout: 10_000 }).toContain(kid);
    await expect.poll(() => untold.keyring.kids(), { timeout: 10_000 }).toContain(kid);
    expect(untold.keyring.signer('token').kid).not.toBe(kid);
    expect(untold.keyring.published('token').map((key) => key.kid)).toContain(kid);
    expect(untold.keyring.published('lease').map((key) => key.kid)).not.toContain(kid);
    await expect.poll(() => changes).toBe(1);
  });

  test('lets the next key sign when its time has come, without being told', async () => {
    const { keyring, store } = await open();
    await rotateKey(store, 'cookie', 2);
    const before = keyring.secrets()[0]!;
    await expect.poll(() => keyring.secrets().length, { timeout: 10_000 }).toBeGreaterThan(1);
    await expect.poll(() => keyring.secrets()[0], { timeout: 10_000 }).not.toBe(before);
    expect(keyring.secrets()).toContain(before);
  });

  test('publishes what was sealed, not what somebody wrote into the column beside it', async () => {
    const { keyring, store } = await open();
    const thief = await generatePrivateKeyJwk();
    await database.db
      .updateTable('keys')
      .set({ public_jwk: JSON.stringify({ ...thief, kid: 'thief' }) })
      .where('purpose', '=', 'token')
      .execute();
    await keyring.refresh();
    expect(JSON.stringify((await open(store)).keyring.published())).not.toContain(thief.x);
    expect(JSON.stringify(keyring.published())).not.toContain('"d"');
  });

  test('keeps the last keys while PostgreSQL does not answer, and signs nothing after a minute', async () => {
    const { keyring } = await open();
    const verification = tokenVerificationKeys(keyring);
    const { kid } = keyring.signer('token');
    const execute = vi
      .spyOn(database.pool, 'query')
      .mockImplementation(() => Promise.reject(new Error('down')) as never);
    const connect = vi
      .spyOn(database.pool, 'connect')
      .mockImplementation(() => Promise.reject(new Error('down')) as never);
    const clock = vi.spyOn(performance, 'now');
    try {
      await expect(keyring.refresh()).rejects.toThrow('down');
      expect(keyring.signer('token').kid).toBe(kid);
      expect(verification.verifies(kid)).toBe(true);
      const now = performance.now();
      clock.mockImplementation(() => now + KEYS_STALE_SECONDS_MAX * 1000 + 1);
      expect(keyring.isCurrent()).toBe(false);
      expect(() => keyring.signer('token')).toThrow(KeysOutdated);
      expect(() => keyring.signer('lease')).toThrow(KeysOutdated);
      expect(() => verification.verifies(kid)).toThrow(KeysOutdated);
      await expect(verification.find({ alg: 'ES256', kid: kid! }, {} as never)).rejects.toThrow(KeysOutdated);
    } finally {
      for (const spy of [execute, connect, clock]) spy.mockRestore();
    }
    await keyring.refresh();
    expect(keyring.signer('token').kid).toBe(kid);
  });

  test('counts its age from when it asked, since a process may stand still before it reads the answer', async () => {
    const store = createTestStore(database);
    const late = {
      transformQuery: ({ node }: { node: unknown }) => node,
      transformResult: ({ result }: { result: unknown }) => new Promise((done) => setTimeout(done, 300, result)),
    };
    const reading = await readKeys({ ...store, db: store.db.withPlugin(late as unknown as KyselyPlugin) }, []);
    expect(reading.keys.length).toBeGreaterThan(0);
    expect(reading.readAtMs - reading.askedAtMs).toBeGreaterThan(250);
  });

  test('finds a key that another process made a moment ago', async () => {
    // One that does not look by itself.
    const looking = vi.spyOn(globalThis, 'setInterval').mockImplementation(() => ({ unref() {} }) as never);
    const { keyring } = await open();
    looking.mockRestore();
    const verification = tokenVerificationKeys(keyring);
    const other = await open();
    const known = keyring.kids();
    while (known.includes(other.keyring.signer('token').kid!)) {
      await revokeKey(other.store, other.keyring.signer('token').kid!, 60);
      await other.keyring.refresh();
    }
    const signer = other.keyring.signer('token');
    const token = await new SignJWT({}).setProtectedHeader({ alg: 'ES256', kid: signer.kid! }).sign(signer);
    await expect.poll(async () => (await jwtVerify(token, verification.find)).protectedHeader.kid).toBe(signer.kid);
  });
});

test('a verdict about a token dies with the key that signed it', async () => {
  const { keyring, store } = await open();
  const verifier = new TokenVerifier(store, tokenVerificationKeys(keyring));
  const signer = keyring.signer('token');
  const claims = { iss: store.issuer, aud: 'https://tools', sub: 'a', client_id: 'a', jti: 'j' };
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: 'ES256', kid: signer.kid!, typ: 'at+jwt' })
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(signer);
  const verify = async () => (await verifier.verify(token, 'https://tools')).ok;
  expect([await verify(), await verify()]).toEqual([true, true]);
  await revokeKey(store, signer.kid!, 60);
  await keyring.refresh();
  expect(await verify()).toBe(false);
});
