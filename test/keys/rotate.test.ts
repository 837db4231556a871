import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { overlapSeconds } from '../../src/keys/limits.ts';
import { type ListedKey, listKeys } from '../../src/keys/list.ts';
import { makeMissingKeys } from '../../src/keys/missing.ts';
import { retireKey, revokeKey } from '../../src/keys/retire.ts';
import { rotateKey } from '../../src/keys/rotate.ts';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestStore } from '../support/test_store.ts';

const PUBLISH_SECONDS = 60;
let database: TestDatabase;
let store: Store;
beforeEach(async () => {
  database = await createTestDatabase();
  store = createTestStore(database);
  await makeMissingKeys(store);
});
afterEach(() => database.drop());

const tokenKeys = async () => (await listKeys(store)).filter((key) => key.purpose === 'token');
const states = async () => (await tokenKeys()).map((key) => key.state);
const inState = async (state: ListedKey['state']) => (await tokenKeys()).find((key) => key.state === state)!;
const eventsOf = async (kid: string) =>
  (await database.db.selectFrom('events').select(['kind', 'body']).orderBy('id').execute())
    .filter((event) => JSON.parse(event.body).ids.kid === kid)
    .map((event) => event.kind);
/** As if so many seconds had passed. */
const pass = (seconds: number) =>
  Promise.all(
    (['activates_at', 'retires_at', 'verifies_until'] as const).map((column) =>
      database.pool.query(`update keys set ${column} = ${column} - make_interval(secs => $1)`, [seconds]),
    ),
  );

describe('a rotation', () => {
  test('publishes a key, lets it sign, retires the one before, and takes that one back when nothing of it lives', async () => {
    const old = await inState('signing');
    const { kid, signsFrom } = await rotateKey(store, 'token', PUBLISH_SECONDS);
    expect(await states()).toEqual(['published', 'signing']);
    expect((await inState('signing')).until).toEqual(signsFrom);
    await pass(PUBLISH_SECONDS);
    expect(await inState('signing')).toMatchObject({ kid });
    expect(await inState('retired')).toMatchObject({ kid: old.kid });
    await pass(overlapSeconds('token') - 5);
    expect(await states()).toEqual(['signing', 'retired']);
    await pass(5);
    expect(await states()).toEqual(['signing', 'ended']);
    expect(await eventsOf(old.kid)).toEqual(['key.made', 'key.retired']);
    // Its private part is destroyed with the next change.
    await rotateKey(store, 'token', PUBLISH_SECONDS);
    const rows = await database.db.selectFrom('keys').select(['kid', 'private_sealed']).execute();
    expect(rows.find((row) => row.kid === old.kid)!.private_sealed).toHaveLength(0);
    expect(rows.filter((row) => row.private_sealed.length === 0)).toHaveLength(1);
  });

  test('of many at once one makes the next key, and all name it', async () => {
    // Connections first, or the first transaction is over before the second begins.
    await Promise.all(Array.from({ length: 20 }, () => database.pool.query('select pg_sleep(0.2)')));
    const rotations = await Promise.all(
      Array.from({ length: 20 }, () => rotateKey(createTestStore(database), 'token', PUBLISH_SECONDS)),
    );
    expect(new Set(rotations.map((rotation) => rotation.kid)).size).toBe(1);
    expect(rotations.filter((rotation) => !rotation.wasUnderWay)).toHaveLength(1);
    expect(await states()).toEqual(['published', 'signing']);
    // The other purposes have keys of their own.
    expect((await listKeys(store)).filter((key) => key.purpose !== 'token').map((key) => key.state)).toEqual([
      'signing',
      'signing',
    ]);
  });
});

describe('retiring one key', () => {
  test('the one that signs: as by a rotation', async () => {
    const { kid } = await inState('signing');
    const retired = await retireKey(store, kid, PUBLISH_SECONDS);
    expect(retired).toMatchObject({ ok: true, value: { kid, isOver: false } });
    expect(await states()).toEqual(['published', 'signing']);
    // Again, and nothing new is made.
    await retireKey(store, kid, PUBLISH_SECONDS);
    expect(await states()).toEqual(['published', 'signing']);
  });

  test('the one that was to sign next: another is published, and who signs now goes on until then', async () => {
    const { kid } = await rotateKey(store, 'token', PUBLISH_SECONDS);
    await pass(PUBLISH_SECONDS / 2);
    const retired = await retireKey(store, kid, PUBLISH_SECONDS);
    const { successor } = (retired as { value: { successor: { kid: string; signsFrom: Date } } }).value;
    expect(successor.kid).not.toBe(kid);
    expect(await inState('ended')).toMatchObject({ kid });
    expect((await inState('signing')).until).toEqual(successor.signsFrom);
    expect((await inState('published')).until).toEqual(successor.signsFrom);
  });

  test('one that is retired or unknown is refused with words', async () => {
    const { kid } = await inState('signing');
    await rotateKey(store, 'token', 5);
    await pass(5);
    expect(await retireKey(store, kid, PUBLISH_SECONDS)).toMatchObject({ ok: false, refusal: /--now/ });
    expect(await retireKey(store, 'nobody', PUBLISH_SECONDS)).toMatchObject({ ok: false, refusal: /keys list/ });
  });
});

describe('a key that leaked', () => {
  test('the one that signs: it verifies nothing from now on, and another signs at once', async () => {
    const { kid } = await inState('signing');
    const revoked = await revokeKey(store, kid, PUBLISH_SECONDS);
    expect(revoked).toMatchObject({ ok: true, value: { kid, isOver: true } });
    expect(await inState('revoked')).toMatchObject({ kid });
    expect((await inState('signing')).kid).not.toBe(kid);
    expect(await eventsOf(kid)).toEqual(['key.made', 'key.revoked']);
    const row = await database.db.selectFrom('keys').selectAll().where('kid', '=', kid).executeTakeFirstOrThrow();
    expect(row.private_sealed).toHaveLength(0);
  });

  test('the one that signs, in the middle of a rotation: the next one signs at once', async () => {
    const { kid: next } = await rotateKey(store, 'token', PUBLISH_SECONDS);
    const { kid } = await inState('signing');
    await revokeKey(store, kid, PUBLISH_SECONDS);
    expect(await states()).toEqual(['signing', 'revoked']);
    expect(await inState('signing')).toMatchObject({ kid: next });
    expect(await eventsOf(next)).toEqual(['key.made', 'key.activated']);
  });

  test('the one that was to sign next: it never does', async () => {
    const { kid } = await rotateKey(store, 'token', PUBLISH_SECONDS);
    await revokeKey(store, kid, PUBLISH_SECONDS);
    const until = (await inState('signing')).until!;
    await pass(PUBLISH_SECONDS * 2);
    expect(await inState('revoked')).toMatchObject({ kid });
    expect((await inState('signing')).since!.getTime()).toBe(until.getTime() - PUBLISH_SECONDS * 2000);
  });

  test('one that is retired: it verifies nothing, and who signs stays', async () => {
    const { kid } = await inState('signing');
    await rotateKey(store, 'token', 5);
    await pass(5);
    const signing = await inState('signing');
    await revokeKey(store, kid, PUBLISH_SECONDS);
    expect(await states()).toEqual(['signing', 'revoked']);
    expect(await inState('signing')).toEqual(signing);
    expect(await revokeKey(store, kid, PUBLISH_SECONDS)).toMatchObject({ ok: false });
  });
});
