import { expect, test } from 'vitest';
import { createMemoryEphemeralStore } from '../../../src/store/memory/ephemeral.ts';
import { createPlacedEphemeralStore } from '../../../src/store/place/ephemeral.ts';
import type { MemoryEpoch } from '../../../src/store/place/epoch.ts';
import { WakeUps } from '../../../src/store/place/wake_ups.ts';

// A server that stood still (SIGSTOP, a long pause) goes by an epoch that ended meanwhile: its place may take a mark still, and
// only the next look at the row, in `settle`, tells.

const MINUTE_MS = 60_000;

function epoch(id: string): MemoryEpoch {
  return { id, place: 'postgres', since: new Date(0), servers: [] };
}

/** Two epochs that both take marks; `settle` finds out, once for each of `changes`, which one counts. */
function standingStill(changes: readonly string[]) {
  const places = new Map(['old', 'new', 'newer', 'newest'].map((id) => [id, createMemoryEphemeralStore()]));
  const keeper = {
    epoch: epoch('old'),
    found: [...changes],
    async settle() {
      const next = this.found.shift();
      if (next !== undefined) this.epoch = epoch(next);
    },
  };
  const none = { subscribe: async () => () => {} };
  const store = createPlacedEphemeralStore({
    keeper,
    run: (work) => work(places.get(keeper.epoch.id)!),
    wakeUps: new WakeUps(
      none,
      () => undefined,
      () => 'postgres',
    ),
  });
  return { store, place: (id: string) => places.get(id)! };
}

test('a mark that was set in an epoch that had ended counts only where everybody looks now', async () => {
  const { store, place } = standingStill(['new']);
  expect(await place('new').putIfAbsent('proof', '1', MINUTE_MS)).toBe(true);
  expect(await store.putIfAbsent('proof', '1', MINUTE_MS)).toBe(false);
});

test('it is set there, so that nobody else accepts what it forbids', async () => {
  const { store, place } = standingStill(['new']);
  expect(await store.putIfAbsent('proof', '1', MINUTE_MS)).toBe(true);
  expect(await place('new').putIfAbsent('proof', '1', MINUTE_MS)).toBe(false);
});

test('a memory that moves again each time gives no answer that lets anything through', async () => {
  const { store } = standingStill(['new', 'newer', 'newest']);
  expect(await store.putIfAbsent('proof', '1', MINUTE_MS)).toBe(false);
});
