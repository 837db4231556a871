import { expect, it } from 'vitest';
import { createMemoryEphemeralStore } from '../../../src/store/memory/ephemeral.ts';
import { ephemeralContract } from '../ephemeral_contract.ts';

ephemeralContract('memory', async () => {
  let nowMs = Date.now();
  const store = createMemoryEphemeralStore({ now: () => nowMs });
  const advance = async (milliseconds: number) => {
    nowMs += milliseconds;
  };
  return { store, other: store, advance };
});

it('refuses a new entry when it is full rather than drop a mark that forbids a replay', async () => {
  let nowMs = Date.now();
  const store = createMemoryEphemeralStore({ now: () => nowMs, entriesMax: 3 });
  expect(await store.putIfAbsent('jti', '1', 5_000)).toBe(true);
  await store.put('a', '1', 5_000);
  await store.put('b', '1', 5_000);
  await expect(store.put('c', '1', 5_000)).rejects.toThrow('maximum of 3 entries');
  expect(await store.putIfAbsent('jti', '2', 5_000)).toBe(false);
  await store.put('a', '2', 5_000);
  nowMs += 6_000;
  await store.put('c', '1', 5_000);
  expect(await store.get('jti')).toBeUndefined();
});

it('remembers since it was made', () => {
  expect(createMemoryEphemeralStore({ now: () => 5_000 }).remembersSince).toEqual(new Date(5_000));
});
