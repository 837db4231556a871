import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { EphemeralStore } from '../../src/store/ephemeral.ts';

export interface EphemeralContractSubject {
  readonly store: EphemeralStore;
  /** Another handle on the same entries and channels, as a second process has; the same one if there can be none. */
  readonly other: EphemeralStore;
  /** Lets this much time pass for the store. */
  advance(milliseconds: number): Promise<void>;
}

/** What every `EphemeralStore` must do. `open` is called once per test and what it gives is closed after it. */
export function ephemeralContract(name: string, open: () => Promise<EphemeralContractSubject>): void {
  const opened: EphemeralContractSubject[] = [];
  const subject = async () => {
    const one = await open();
    opened.push(one);
    return one;
  };
  const times = <Value>(count: number, work: (index: number) => Promise<Value>): Promise<Value[]> =>
    Promise.all(Array.from({ length: count }, (_, index) => work(index)));
  const key = () => `contract:${Math.random()}`;

  describe(`${name}: ephemeral entries`, () => {
    afterEach(async () => {
      for (const { store, other } of opened.splice(0)) {
        await store.close();
        if (other !== store) await other.close();
      }
    });

    it('gets what was put, everywhere, until it is replaced or deleted', async () => {
      const { store, other } = await subject();
      const k = key();
      expect(await store.get(k)).toBeUndefined();
      await store.put(k, 'one', 60_000);
      expect(await other.get(k)).toBe('one');
      await other.put(k, '', 60_000);
      expect(await store.get(k)).toBe('');
      await store.delete(k);
      await store.delete(k);
      expect(await other.get(k)).toBeUndefined();
    });

    it('forgets in time, and replacing gives a new time', async () => {
      const { store, advance } = await subject();
      const [short, renewed] = [key(), key()];
      await store.put(short, 'x', 1000);
      await store.put(renewed, 'x', 1000);
      await advance(500);
      expect(await store.get(short)).toBe('x');
      await store.put(renewed, 'y', 5000);
      await advance(1000);
      expect(await store.get(short)).toBeUndefined();
      expect(await store.take(short)).toBeUndefined();
      expect(await store.get(renewed)).toBe('y');
    });

    it('deletes by a put whose time is not positive', async () => {
      const { store } = await subject();
      for (const ttlMs of [0, -1]) {
        const k = key();
        await store.put(k, 'x', 60_000);
        await store.put(k, 'y', ttlMs);
        expect(await store.get(k)).toBeUndefined();
      }
    });

    it('gives a value to at most one of 50 parallel takers', async () => {
      const { store, other } = await subject();
      const k = key();
      await store.put(k, 'prize', 60_000);
      const taken = await times(50, (index) => (index % 2 === 0 ? store : other).take(k));
      expect(taken.filter((value) => value === 'prize')).toHaveLength(1);
      expect(taken.filter((value) => value === undefined)).toHaveLength(49);
    });

    it('marks for exactly one of 50 parallel callers, and for one more each time the mark expired', async () => {
      const { store, other, advance } = await subject();
      const k = key();
      for (let round = 0; round < 3; round += 1) {
        const marks = await times(50, (index) => (index % 2 === 0 ? store : other).putIfAbsent(k, `${index}`, 1000));
        expect(marks.filter(Boolean)).toHaveLength(1);
        expect(await store.get(k)).toBe(String(marks.indexOf(true)));
        await advance(1500);
      }
    });

    it('marks nothing, and says so, when the time of a mark is over already', async () => {
      const { store } = await subject();
      const k = key();
      expect(await store.putIfAbsent(k, 'x', 0)).toBe(false);
      expect(await store.putIfAbsent(k, 'x', -1)).toBe(false);
      expect(await store.putIfAbsent(k, 'y', 60_000)).toBe(true);
    });

    it('counts each of 50 parallel increments once, and expires from the first', async () => {
      const { store, other, advance } = await subject();
      const k = key();
      const counts = await times(50, (index) => (index % 2 === 0 ? store : other).increment(k, 1000));
      expect(counts.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
      await advance(700);
      expect(await store.increment(k, 1000)).toBe(51);
      await advance(500);
      expect(await store.increment(k, 1000)).toBe(1);
    });

    it('keeps text as it is, up to 64 KiB, and refuses longer values and keys', async () => {
      const { store } = await subject();
      const k = key();
      for (const value of ['ü\u0000\n😀', 'x'.repeat(64 * 1024)]) {
        await store.put(k, value, 60_000);
        expect(await store.get(k)).toBe(value);
      }
      await expect(store.put(k, 'x'.repeat(64 * 1024 + 1), 60_000)).rejects.toThrow('value');
      await expect(store.put(k, 'ü'.repeat(40 * 1024), 60_000)).rejects.toThrow('value');
      await expect(store.get('k'.repeat(257))).rejects.toThrow('key');
    });

    it('remembers since a moment that is not in the future', async () => {
      const { store } = await subject();
      expect(store.remembersSince.getTime()).toBeLessThanOrEqual(Date.now() + 1000);
    });

    it('rejects once it is closed', async () => {
      const { store } = await subject();
      await store.close();
      await expect(store.get(key())).rejects.toThrow();
      await expect(store.putIfAbsent(key(), 'x', 1000)).rejects.toThrow();
    });
  });

  describe(`${name}: wake-ups`, () => {
    afterEach(async () => {
      for (const { store, other } of opened.splice(0)) {
        await store.close();
        if (other !== store) await other.close();
      }
    });

    it('delivers what is published after subscribing, to every subscriber of that channel only', async () => {
      const { store, other } = await subject();
      const [channel, elsewhere] = [key(), key()];
      const heard: string[] = [];
      await store.subscribe(channel, (message) => heard.push(`a:${message}`));
      await other.subscribe(channel, (message) => heard.push(`b:${message}`));
      await other.subscribe(elsewhere, (message) => heard.push(`wrong:${message}`));
      await store.publish(channel, 'one');
      await until(() => heard.length === 2);
      expect(heard.toSorted()).toEqual(['a:one', 'b:one']);
      await other.publish(channel, 'two');
      await until(() => heard.length === 4);
      expect(heard.slice(2).toSorted()).toEqual(['a:two', 'b:two']);
    });

    it('is silent after unsubscribing, for that subscription only', async () => {
      const { store } = await subject();
      const channel = key();
      const heard: string[] = [];
      const listener = (message: string) => heard.push(message);
      const unsubscribe = await store.subscribe(channel, listener);
      await store.subscribe(channel, listener);
      unsubscribe();
      unsubscribe();
      await store.publish(channel, 'x');
      await until(() => heard.length > 0);
      await sleep(20);
      expect(heard).toEqual(['x']);
    });
  });
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 2000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('A wake-up did not arrive within 2 s.');
    await sleep(2);
  }
}
