import type { JsonObject } from '../kernel/json.ts';
import type { Store } from '../store/store.ts';
import { EXPORT_PAGE_EVENTS } from './limits.ts';

export const EXPORT_FORMAT = 'countersign-log/1';

/**
 * The sealed log as lines of JSON, without their newlines, for `verifyLog`: a header `{format, origin, size}`; per event
 * `{position, digest, body, personal}` in order, where `body` is the exact text of the leaf and `personal` is the exact
 * text and salt behind its commitment, or null when there is none or it was erased; and each checkpoint
 * `{checkpoint}` after the last event it covers. Ends at the newest checkpoint at its start.
 */
export async function* exportLog(store: Pick<Store, 'db' | 'issuer'>): AsyncGenerator<string, void, undefined> {
  const newest = await store.db
    .selectFrom('checkpoints')
    .select('size')
    .orderBy('size', 'desc')
    .limit(1)
    .executeTakeFirst();
  const size = newest?.size ?? 0;
  yield line({ format: EXPORT_FORMAT, origin: store.issuer, size });
  for (let start = 0; start < size; start += EXPORT_PAGE_EVENTS) {
    const end = Math.min(start + EXPORT_PAGE_EVENTS, size);
    yield* exportPage(store, start, end);
  }
}

/** The events at positions `start` to before `end`, and the checkpoints of sizes after `start` up to `end`. */
async function* exportPage(
  store: Pick<Store, 'db'>,
  start: number,
  end: number,
): AsyncGenerator<string, void, undefined> {
  const events = await store.db
    .selectFrom('events')
    .select(['position', 'body', 'body_digest', 'personal'])
    .where('position', '>=', start)
    .where('position', '<', end)
    .orderBy('position')
    .execute();
  const checkpoints = await store.db
    .selectFrom('checkpoints')
    .select(['size', 'note'])
    .where('size', '>', start)
    .where('size', '<=', end)
    .orderBy('size')
    .execute();
  // Rows are merged by number, not by count: a deleted row must show as a gap where it was.
  let next = 0;
  for (const event of events) {
    while (next < checkpoints.length && checkpoints[next]!.size <= event.position!) {
      yield line({ checkpoint: checkpoints[next]!.note });
      next += 1;
    }
    yield line({ position: event.position, digest: event.body_digest, body: event.body, personal: event.personal });
  }
  for (const checkpoint of checkpoints.slice(next)) yield line({ checkpoint: checkpoint.note });
}

function line(value: JsonObject): string {
  return JSON.stringify(value);
}
