import { expect, test } from 'vitest';
import { cacheApproved, cachedStatus, forgetCached, wakeStepUp } from '../../src/approvals/status.ts';
import { createMemoryEphemeralStore } from '../../src/store/memory/ephemeral.ts';
import type { StepUpStatus } from '../../src/wire/guard_api.ts';
import { createTestStore } from '../support/test_store.ts';

const HOUR_MS = 3_600_000;
const row = {
  id: 'stp_1',
  tool_server_id: 'tsv_1',
  state: 'approved',
  reason: null,
  expires_at: new Date('2026-11-23T12:00:00.000Z'),
} as const;
const status: StepUpStatus = {
  step_up_id: 'stp_1',
  state: 'approved',
  reason: null,
  expires_at: '2026-11-23T12:00:00.000Z',
  approval_url: 'http://localhost:9400/step-ups/stp_1',
};
const storeWith = (ephemeral = createMemoryEphemeralStore()) => createTestStore({ db: {} as never }, { ephemeral });
const inAnHour = () => new Date(Date.now() + HOUR_MS);

test('an approval is cached until it is forgotten', async () => {
  const store = storeWith();
  await cacheApproved(store, row, inAnHour());
  expect(await cachedStatus(store, 'stp_1', null)).toEqual(status);
  await forgetCached(store, 'stp_1');
  expect(await cachedStatus(store, 'stp_1', null)).toBeUndefined();
});

test('the guard of another tool server is told nothing of it', async () => {
  const store = storeWith();
  await cacheApproved(store, row, inAnHour());
  expect(await cachedStatus(store, 'stp_1', 'tsv_1')).toEqual(status);
  expect(await cachedStatus(store, 'stp_1', 'tsv_2')).toBeUndefined();
});

test('a store that cannot be asked fails no call: there is nothing cached', async () => {
  const down = () => Promise.reject(new Error('the store is out of reach'));
  const store = storeWith({ ...createMemoryEphemeralStore(), put: down, get: down, delete: down, publish: down });
  await cacheApproved(store, row, inAnHour());
  expect(await cachedStatus(store, 'stp_1', null)).toBeUndefined();
  await forgetCached(store, 'stp_1');
  await wakeStepUp(store, 'stp_1');
});

test('what somebody else wrote there counts as nothing', async () => {
  const store = storeWith();
  const entry = (changed: object) => JSON.stringify({ tool_server: 'tsv_1', status: { ...status, ...changed } });
  for (const text of ['', 'x', '{}', 'null', JSON.stringify(status), entry({ state: 'denied' })]) {
    await store.ephemeral.put('grant:stp_1', text, HOUR_MS);
    expect(await cachedStatus(store, 'stp_1', null)).toBeUndefined();
  }
  await store.ephemeral.put('grant:stp_2', entry({}), HOUR_MS);
  expect(await cachedStatus(store, 'stp_2', null)).toBeUndefined();
});
