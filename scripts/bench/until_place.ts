import { setTimeout as sleep } from 'node:timers/promises';
import type { Installation } from './installation.ts';
import { READY_MS_MAX } from './limits.ts';

const POLL_MS = 50;
/** Who keeps time by the whole second is past the one in which the memory moved. */
const SETTLED_MS = 2_500;

/** The nodes keep what may be lost in this place, and have done so for a while. */
export async function untilPlace(installation: Installation, place: 'redis' | 'postgres'): Promise<void> {
  const endsAt = performance.now() + READY_MS_MAX;
  while (performance.now() < endsAt) {
    const [row] = await installation.query<{ place: string }>('select place from ephemeral_memory');
    if (row?.place === place) return sleep(SETTLED_MS);
    await sleep(POLL_MS);
  }
  throw new Error(`The memory did not move to ${place}.`);
}
