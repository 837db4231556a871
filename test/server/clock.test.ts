import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/kernel/logger.ts';
import { type ClockWatch, type LocalClocks, watchClock } from '../../src/server/clock.ts';
import { createReadiness } from '../../src/server/readiness.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

let database: TestDatabase;
const watches: ClockWatch[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  for (const watch of watches) watch.stop();
  await database.drop();
});

/** The clocks of this machine, with the wall clock set forward or back by `shift.ms`. */
function shifted(ms: number): { watch: ClockWatch; shift: { ms: number }; lines: string[] } {
  const shift = { ms };
  const lines: string[] = [];
  const log = {
    ...silentLogger,
    error: (_: object, text: string) => lines.push(text),
    info: (_: object, text: string) => lines.push(text),
  };
  const clocks: LocalClocks = { wall: () => Date.now() + shift.ms, steady: () => performance.now() };
  const watch = watchClock({ db: database.db, log } as unknown as Parameters<typeof watchClock>[0], clocks);
  watches.push(watch);
  return { watch, shift, lines };
}

describe('F10: the clock of a node beside that of PostgreSQL', () => {
  it('is trusted before no measure, and after one that finds no difference', async () => {
    const { watch } = shifted(0);
    expect(watch.isTrusted()).toBe(false);
    await watch.measure();
    expect(Math.abs(watch.offsetMs()!)).toBeLessThan(1_000);
    expect(watch.isTrusted()).toBe(true);
  });

  it.each([600_000, -600_000, 6_500, -6_500])('is not trusted when it is off by %d ms', async (ms) => {
    const { watch, lines } = shifted(ms);
    await watch.measure();
    expect(Math.abs(watch.offsetMs()! - ms)).toBeLessThan(1_000);
    expect(watch.isTrusted()).toBe(false);
    expect(lines.join('\n')).toMatch(/it serves nobody.*NTP/);
    const readiness = createReadiness({ clock: watch, log: silentLogger });
    readiness.started();
    expect(await readiness.check()).toMatchObject({
      reason: 'clock',
      detail: expect.stringMatching(ms > 0 ? /\d+ s ahead of/ : /\d+ s behind/),
    });
  });

  it('is distrusted the moment it is set, before any other measure, and trusted again once it is right', async () => {
    const { watch, shift, lines } = shifted(0);
    await watch.measure();
    shift.ms = -600_000;
    expect(watch.isTrusted()).toBe(false);
    await watch.measure();
    expect(watch.isTrusted()).toBe(false);
    shift.ms = 0;
    await watch.measure();
    expect(watch.isTrusted()).toBe(true);
    expect(lines.at(-1)).toMatch(/agrees with PostgreSQL again/);
  });

  it('is not blamed for a slow answer', async () => {
    // PostgreSQL is asked when it is ten seconds ahead, and answers within what this process counts as ten seconds.
    let isAsked = false;
    const clocks: LocalClocks = {
      wall: () => {
        const now = Date.now() - (isAsked ? 0 : 10_000);
        isAsked = true;
        return now;
      },
      steady: () => performance.now() + (isAsked ? 10_000 : 0),
    };
    const watch = watchClock({ db: database.db, log: silentLogger } as Parameters<typeof watchClock>[0], clocks);
    watches.push(watch);
    await watch.measure();
    expect(watch.isTrusted()).toBe(true);
  });
});

describe('readiness', () => {
  it('says starting, then ready, then draining', async () => {
    const { watch } = shifted(0);
    let areKeysCurrent = true;
    const readiness = createReadiness({ clock: watch, log: silentLogger, areKeysCurrent: () => areKeysCurrent });
    expect(await readiness.check()).toMatchObject({ reason: 'starting' });
    readiness.started();
    expect(await readiness.check()).toBeUndefined();
    areKeysCurrent = false;
    expect(await readiness.check()).toMatchObject({ reason: 'keys' });
    readiness.drain();
    expect(await readiness.check()).toMatchObject({ reason: 'draining' });
    readiness.started();
    expect(await readiness.check()).toMatchObject({ reason: 'draining' });
  });
});
