import { expect, it } from 'vitest';
import { createMemoryArtifactStore } from '../../../src/store/memory/artifacts.ts';
import { artifactContract } from '../artifact_contract.ts';

artifactContract('memory', async () => {
  let nowMs = Date.now();
  return {
    store: createMemoryArtifactStore({ now: () => nowMs }),
    advance: async (milliseconds) => {
      nowMs += milliseconds;
    },
  };
});

it('refuses a new artifact when it is full, until others expire, and still takes changes and revocations', async () => {
  let nowMs = Date.now();
  const store = createMemoryArtifactStore({ now: () => nowMs, artifactsMax: 2 });
  await store.save('Session', 'a', { payload: {}, grantId: 'g' }, 10);
  await store.save('Session', 'b', { payload: {} }, 10);
  await expect(store.save('Session', 'c', { payload: {} }, 10)).rejects.toThrow('maximum of 2 entries');
  expect(await store.save('Session', 'b', { payload: { n: 2 } }, 10)).toBe('saved');
  expect(await store.consume('Session', 'b')).toBe('consumed');
  await store.revokeByGrant('g');
  expect(await store.find('Session', 'a')).toBeUndefined();
  nowMs += 11_000;
  expect(await store.save('Session', 'c', { payload: {} }, 10)).toBe('saved');
});

it('has room again once the artifacts of many grants expired', async () => {
  let nowMs = Date.now();
  const store = createMemoryArtifactStore({ now: () => nowMs, artifactsMax: 2 });
  for (let grant = 0; grant < 10; grant += 1) {
    expect(await store.save('RefreshToken', `r${grant}`, { payload: {}, grantId: `g${grant}` }, 1)).toBe('saved');
    nowMs += 2_000;
  }
});
