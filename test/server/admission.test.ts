import { describe, expect, it } from 'vitest';
import { runInPlace, whileParked } from '../../src/kernel/parking.ts';
import { createAdmission, placesFor } from '../../src/server/admission.ts';
import { EVENT_LOOP_DELAY_MS_MAX, REQUESTS_MIN } from '../../src/server/limits.ts';

const open = (requestsMax: number, delayMs = 0) => createAdmission({ requestsMax, eventLoopDelayMs: () => delayMs });

describe('places among the requests that are worked on', () => {
  it('are as many as were said, and free again when the work is done', () => {
    const admission = open(2);
    const first = admission.enter();
    expect(admission.enter()).toBeDefined();
    expect(admission.enter()).toBeUndefined();
    first?.leave();
    expect(admission.enter()).toBeDefined();
    expect(admission.enter()).toBeUndefined();
  });

  it('are not held by who only waits, and are had again afterwards', async () => {
    const admission = open(1);
    const ticket = admission.enter()!;
    const decided = Promise.withResolvers<string>();
    const waiting = runInPlace(ticket, async () => {
      // However deep in the work.
      await Promise.resolve();
      return whileParked(() => decided.promise);
    });
    await expect.poll(() => admission.working).toBe(0);
    const other = admission.enter();
    expect(other).toBeDefined();
    decided.resolve('approved');
    expect(await waiting).toBe('approved');
    expect(admission.working).toBe(2);
    expect(admission.enter()).toBeUndefined();
    other?.leave();
    ticket.leave();
    expect(admission.working).toBe(0);
  });

  it('are given back once, whatever comes after', async () => {
    const admission = open(4);
    const ticket = admission.enter()!;
    await expect(runInPlace(ticket, () => whileParked(() => Promise.reject(new Error('gone'))))).rejects.toThrow(
      'gone',
    );
    expect(admission.working).toBe(1);
    ticket.park();
    ticket.leave();
    ticket.resume();
    ticket.leave();
    expect(admission.working).toBe(0);
  });

  it('a wait outside of any request is a wait', async () => {
    expect(await whileParked(async () => 7)).toBe(7);
  });

  it('become fewer in proportion to how late the event loop is, and never none', () => {
    expect(placesFor(100, EVENT_LOOP_DELAY_MS_MAX)).toBe(100);
    expect(placesFor(100, 2 * EVENT_LOOP_DELAY_MS_MAX)).toBe(50);
    expect(placesFor(100, 1_000 * EVENT_LOOP_DELAY_MS_MAX)).toBe(REQUESTS_MIN);
    const admission = open(4, 2 * EVENT_LOOP_DELAY_MS_MAX);
    expect([admission.enter(), admission.enter(), admission.enter()].map((ticket) => ticket !== undefined)).toEqual([
      true,
      true,
      false,
    ]);
  });
});
