import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Keyring, openKeyring } from '../../src/keys/keyring.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';

let database: TestDatabase;
const keyrings: Keyring[] = [];
const open = async () => {
  const keyring = await openKeyring(createTestStore(database));
  keyrings.push(keyring);
  return keyring;
};
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  for (const keyring of keyrings) await keyring.stop();
  await database.drop();
});

test('of several processes that start at once one makes the keys; all load the same, also after a restart', async () => {
  const loads = await Promise.all([1, 2, 3, 4, 5].map(open));
  for (const keyring of loads) {
    expect(keyring.kids()).toEqual(loads[0]!.kids());
    expect(keyring.secrets()).toEqual(loads[0]!.secrets());
  }
  expect(loads[0]!.kids()).toHaveLength(2);
  expect(loads[0]!.signer('token').kid).not.toBe(loads[0]!.signer('lease').kid);
  expect((await open()).kids()).toEqual(loads[0]!.kids());
  const events = await database.db.selectFrom('events').select('kind').where('kind', '=', 'key.made').execute();
  expect(events).toHaveLength(3);
});
