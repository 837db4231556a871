import { createLocalJWKSet, exportJWK, generateKeyPair, importJWK, jwtVerify, SignJWT } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadProviderKeys } from '../../src/provider/keys.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

test('of several processes that start at once one makes the keys; all load the same, also after a restart', async () => {
  const loads = await Promise.all([1, 2, 3, 4, 5].map(() => loadProviderKeys(createTestStore(database))));
  for (const keys of loads) expect(keys).toEqual(loads[0]);
  expect(loads[0]!.tokenKeys.keys).toHaveLength(1);
  expect(loads[0]!.cookieKeys).toHaveLength(1);
  expect(await loadProviderKeys(createTestStore(database))).toEqual(loads[0]);
  const events = await database.db.selectFrom('events').select('kind').where('kind', '=', 'key.made').execute();
  expect(events).toHaveLength(2);
});

test('no private key can be read from the database', async () => {
  const { tokenKeys, cookieKeys } = await loadProviderKeys(createTestStore(database));
  const rows = await database.db.selectFrom('keys').selectAll().execute();
  const dump = JSON.stringify(rows.map((row) => ({ ...row, private_sealed: row.private_sealed.toString('latin1') })));
  expect(dump).not.toContain(tokenKeys.keys[0]!.d);
  expect(dump).not.toContain(cookieKeys[0]);
});

test('a retired key comes after the active one, and what it signed still verifies', async () => {
  const store = createTestStore(database);
  const before = (await loadProviderKeys(store)).tokenKeys.keys[0]!;
  const token = await new SignJWT({})
    .setProtectedHeader({ alg: 'ES256', kid: before.kid! })
    .sign(await importJWK(before, 'ES256'));
  const pair = await generateKeyPair('ES256', { extractable: true });
  const next = { ...(await exportJWK(pair.privateKey)), kid: 'next', alg: 'ES256', use: 'sig' };
  await database.db.updateTable('keys').set({ state: 'retired' }).where('purpose', '=', 'token').execute();
  await database.db
    .insertInto('keys')
    .values({
      kid: 'next',
      purpose: 'token',
      algorithm: 'ES256',
      public_jwk: JSON.stringify(await exportJWK(pair.publicKey)),
      private_sealed: store.vault.seal('provider-key', JSON.stringify(next)),
      state: 'active',
    })
    .execute();
  const { keys } = (await loadProviderKeys(store)).tokenKeys;
  expect(keys.map(({ kid }) => kid)).toEqual(['next', before.kid]);
  const publicKeys = keys.map(({ d: _, ...jwk }) => jwk);
  await expect(jwtVerify(token, createLocalJWKSet({ keys: publicKeys }))).resolves.toBeDefined();
});
