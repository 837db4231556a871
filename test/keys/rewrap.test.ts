import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openAction, sealAction } from '../../src/approvals/sealed_action.ts';
import { loadCheckpointKey } from '../../src/events/checkpoint_key.ts';
import { createVault } from '../../src/kernel/vault.ts';
import { openKeyring } from '../../src/keys/keyring.ts';
import { REWRAP_ROWS_MAX } from '../../src/keys/limits.ts';
import { revokeKey } from '../../src/keys/retire.ts';
import { countLeft, rewrapColumn } from '../../src/keys/rewrap.ts';
import { SEALED_COLUMNS } from '../../src/server/sealed_columns.ts';
import { makeStream } from '../../src/signals/streams/make_stream.ts';
import { AUTHORIZATION_PURPOSE } from '../../src/signals/streams/stream.ts';
import { createPostgresArtifactStore } from '../../src/store/postgres/artifacts.ts';
import type { Store } from '../../src/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Scenario } from '../support/scenario.ts';
import { createTestStore } from '../support/test_store.ts';

const OLD = Buffer.alloc(32, 7);
const NEW = Buffer.alloc(32, 8);
const ARTIFACTS = REWRAP_ROWS_MAX + 20;

let database: TestDatabase;
let before: Store;
let both: Store;
let after: Store;
let stepUpId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  before = createTestStore(database, { vault: createVault(OLD) });
  both = createTestStore(database, { vault: createVault(NEW, OLD) });
  after = createTestStore(database, { vault: createVault(NEW) });
});
afterAll(() => database.drop());

const left = async () => Promise.all(SEALED_COLUMNS.map((column) => countLeft(both, column)));
const rewrap = async () => {
  for (const column of SEALED_COLUMNS) expect(await rewrapColumn(both, column)).toMatchObject({ unreadable: 0 });
};

/** An installation under the old root key: keys, one of them revoked, a step-up, many artifacts, a receiver's credential. */
beforeEach(async () => {
  await sql`truncate keys, artifacts, people, tool_servers, tasks, agents, step_ups, signal_streams cascade`.execute(
    database.db,
  );
  const keyring = await openKeyring(before);
  await revokeKey(before, keyring.signer('token').kid!, 60);
  await keyring.stop();
  await loadCheckpointKey(before);
  const scenario = await Scenario.create(before);
  stepUpId = await scenario.ask('write_file', { path: 'a', content: 'b' });
  const artifacts = createPostgresArtifactStore(before);
  const save = (_: unknown, count: number) =>
    artifacts.save('RefreshToken', `token-${count}`, { payload: { count } } as never, 3600);
  await Promise.all(Array.from({ length: ARTIFACTS }, save));
  await makeStream(before, {
    ...{ receiver: 'siem', apiTokenId: 'apt_test', eventsRequested: [], description: null, allowedHosts: [] },
    delivery: { method: 'urn:ietf:rfc:8935', endpoint_url: 'https://siem.example/', authorization_header: 'Bearer x' },
  });
});

const actionOf = async (store: Store) =>
  openAction(
    store,
    await store.db.selectFrom('step_ups').selectAll().where('id', '=', stepUpId).executeTakeFirstOrThrow(),
  );

describe('sealing everything anew', () => {
  test('leaves nothing under the old root key, and everything opens with the new one alone', async () => {
    expect(await left()).toEqual([4, 1, ARTIFACTS, 1]);
    const keys = await openKeyring(before);
    await rewrap();
    expect(await left()).toEqual([0, 0, 0, 0]);
    const keyring = await openKeyring(after);
    expect(keyring.kids()).toEqual(keys.kids());
    expect(keyring.secrets()).toEqual(keys.secrets());
    expect((await loadCheckpointKey(after)).verifierKey).toBeDefined();
    expect(await actionOf(after)).toMatchObject({ name: 'write_file' });
    const artifacts = createPostgresArtifactStore(after);
    expect(await artifacts.find('RefreshToken', `token-${ARTIFACTS - 1}`)).toMatchObject({
      payload: { count: ARTIFACTS - 1 },
    });
    const stream = await after.db.selectFrom('signal_streams').selectAll().executeTakeFirstOrThrow();
    expect(after.vault.open(AUTHORIZATION_PURPOSE, stream.authorization_sealed!).toString()).toBe('Bearer x');
    await Promise.all([keys.stop(), keyring.stop()]);
  });

  test('ended in the middle, the next run goes on with what is left', async () => {
    const artifacts = SEALED_COLUMNS.find((column) => column.table === 'artifacts')!;
    // The statement for the second batch finds nobody there, as after a kill.
    let calls = 0;
    const dying = {
      ...artifacts,
      rewrap: ((vault, value, row) => {
        calls += 1;
        if (calls > REWRAP_ROWS_MAX) throw new Error('killed');
        return artifacts.rewrap(vault, value, row);
      }) as typeof artifacts.rewrap,
    };
    await expect(rewrapColumn(both, dying)).rejects.toThrow('killed');
    expect(await countLeft(both, artifacts)).toBe(ARTIFACTS - REWRAP_ROWS_MAX);
    expect(await rewrapColumn(both, artifacts)).toEqual({ rewrapped: ARTIFACTS - REWRAP_ROWS_MAX, unreadable: 0 });
    expect(await rewrapColumn(both, artifacts)).toEqual({ rewrapped: 0, unreadable: 0 });
  });

  test('servers that go on meanwhile lose nothing: what they write is theirs', async () => {
    const artifacts = SEALED_COLUMNS.find((column) => column.table === 'artifacts')!;
    const written = createPostgresArtifactStore(before);
    let isWritten: Promise<unknown> | undefined;
    const racing = {
      ...artifacts,
      rewrap: ((vault, value, row) => {
        isWritten ??= written.save('RefreshToken', 'token-0', { payload: { count: 'newer' } } as never, 3600);
        return artifacts.rewrap(vault, value, row);
      }) as typeof artifacts.rewrap,
    };
    await Promise.all([rewrapColumn(both, racing), rewrapColumn(both, racing)]);
    await isWritten;
    const found = await createPostgresArtifactStore(both).find('RefreshToken', 'token-0');
    expect(found).toMatchObject({ payload: { count: 'newer' } });
    await rewrap();
    expect(await left()).toEqual([0, 0, 0, 0]);
  });

  test('what opens with neither key is counted, and left as it is', async () => {
    const stranger = createPostgresArtifactStore({ db: database.db, vault: createVault(Buffer.alloc(32, 99)) });
    await stranger.save('RefreshToken', 'foreign', { payload: {} } as never, 3600);
    const artifacts = SEALED_COLUMNS.find((column) => column.table === 'artifacts')!;
    expect(await rewrapColumn(both, artifacts)).toEqual({ rewrapped: ARTIFACTS, unreadable: 1 });
    expect(await countLeft(both, artifacts)).toBe(1);
    expect(await stranger.find('RefreshToken', 'foreign')).toBeDefined();
  });
});

test('a rolling change: servers with both keys, either first, work on the same records', async () => {
  const first = createTestStore(database, { vault: createVault(OLD, NEW) });
  const second = both;
  for (const [writer, reader] of [
    [first, second],
    [second, first],
  ] as const) {
    await createPostgresArtifactStore(writer).save('RefreshToken', 'one', { payload: { a: 1 } } as never, 3600);
    expect(await createPostgresArtifactStore(reader).find('RefreshToken', 'one')).toMatchObject({ payload: { a: 1 } });
    const sealed = sealAction(writer, { name: 'x' } as never);
    expect(openAction(reader, sealed)).toMatchObject({ name: 'x' });
  }
});

test('every column that is sealed under the root key is among those that are sealed anew', async () => {
  // A data key, not the root key, seals these.
  const underDataKeys = ['step_ups.action_sealed', 'redemptions.outcome_sealed'];
  const { rows } = await sql<{ name: string }>`
    select table_name || '.' || column_name as name from information_schema.columns
    where table_schema = 'public' and data_type = 'bytea' and (column_name like '%sealed' or column_name like '%wrapped')
    order by name`.execute(database.db);
  const known = SEALED_COLUMNS.map(({ table, column }) => `${table}.${column}`);
  expect(rows.map((row) => row.name)).toEqual([...known, ...underDataKeys].sort());
});
