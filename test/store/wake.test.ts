import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createMemoryEphemeralStore } from '../../src/store/memory/ephemeral.ts';
import { waitFor } from '../../src/store/wake.ts';

const LONG_MS = 20_000;
const wait = { timeoutMs: LONG_MS, pollMs: LONG_MS };

/** The milliseconds until the waiter answers; every test below would take the whole poll if a wake-up were lost. */
async function timed<Value>(work: Promise<Value>): Promise<{ value: Value; tookMs: number }> {
  const startedAt = performance.now();
  const value = await work;
  return { value, tookMs: performance.now() - startedAt };
}

describe('waitFor', () => {
  it('does not lose a change that is published between its reading and its waiting', async () => {
    const ephemeral = createMemoryEphemeralStore();
    let state: string | undefined;
    let reads = 0;
    const read = async () => {
      reads += 1;
      const seen = state;
      if (reads === 1) {
        // The change commits after this read looked, and its wake-up arrives before the read returns.
        state = 'approved';
        await ephemeral.publish('c', '');
        await sleep(20);
      }
      return seen;
    };
    const { value, tookMs } = await timed(waitFor(ephemeral, 'c', read, wait));
    expect(value).toBe('approved');
    expect(tookMs).toBeLessThan(2_000);
  });

  it('has registered before it reads: a change published while it registers is seen too', async () => {
    const inner = createMemoryEphemeralStore();
    let state: string | undefined;
    const ephemeral = {
      ...inner,
      // A slow registration, as over a network; whoever publishes meanwhile is not heard.
      subscribe: async (channel: string, listener: (message: string) => void) => {
        await sleep(20);
        state = 'approved';
        await inner.publish(channel, '');
        await sleep(20);
        return inner.subscribe(channel, listener);
      },
    };
    const { value, tookMs } = await timed(waitFor(ephemeral, 'c', async () => state, wait));
    expect(value).toBe('approved');
    expect(tookMs).toBeLessThan(2_000);
  });

  it('resumes within milliseconds of a wake-up, and ignores those that changed nothing', async () => {
    const ephemeral = createMemoryEphemeralStore();
    let state: string | undefined;
    const waiting = waitFor(ephemeral, 'c', async () => state, wait);
    await sleep(10);
    await ephemeral.publish('c', '');
    await sleep(10);
    state = 'approved';
    const { value, tookMs } = await timed(ephemeral.publish('c', '').then(() => waiting));
    expect(value).toBe('approved');
    expect(tookMs).toBeLessThan(500);
  });

  it('finds by polling what no wake-up announced', async () => {
    let state: string | undefined;
    const waiting = waitFor(createMemoryEphemeralStore(), 'c', async () => state, { timeoutMs: LONG_MS, pollMs: 20 });
    await sleep(30);
    state = 'approved';
    expect((await timed(waiting)).tookMs).toBeLessThan(1_000);
  });

  it('polls when nothing can be subscribed to', async () => {
    const subscribe = () => Promise.reject(new Error('the store is out of reach'));
    const ephemeral = { ...createMemoryEphemeralStore(), subscribe };
    let state: string | undefined;
    const waiting = waitFor(ephemeral, 'c', async () => state, { timeoutMs: LONG_MS, pollMs: 20 });
    await sleep(30);
    state = 'approved';
    expect((await timed(waiting)).value).toBe('approved');
  });

  it('gives up at its time, or when its caller goes away, and leaves no subscription behind', async () => {
    const inner = createMemoryEphemeralStore();
    let subscriptions = 0;
    const ephemeral = {
      ...inner,
      subscribe: async (channel: string, listener: (message: string) => void) => {
        const unsubscribe = await inner.subscribe(channel, listener);
        subscriptions += 1;
        return () => {
          subscriptions -= 1;
          unsubscribe();
        };
      },
    };
    const nothing = async () => undefined;
    expect(await waitFor(ephemeral, 'c', nothing, { timeoutMs: 30, pollMs: 10 })).toBeUndefined();
    const controller = new AbortController();
    const waiting = waitFor(ephemeral, 'c', nothing, { ...wait, signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    const { value, tookMs } = await timed(waiting);
    expect(value).toBeUndefined();
    expect(tookMs).toBeLessThan(1_000);
    await expect(waitFor(ephemeral, 'c', () => Promise.reject(new Error('no database')), wait)).rejects.toThrow();
    expect(subscriptions).toBe(0);
  });
});
