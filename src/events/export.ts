import type { Kysely } from 'kysely';
import type { JsonObject } from '../kernel/json.ts';
import type { Tables } from '../store/postgres/tables.ts';
import { EXPORT_PAGE_EVENTS } from './limits.ts';
import { readLogStart, stateAtOrBefore } from './retention.ts';

export const EXPORT_FORMAT = 'countersign-log/1';

export interface ExportedLog {
  /** The issuer that sealed the log. */
  readonly issuer: string;
  /** One snapshot, or a log from which nothing is deleted meanwhile. */
  readonly db: Kysely<Tables>;
}

/** Sizes of the log: the export holds the positions from `from` to before `to`. */
export interface Exported {
  readonly from: number;
  readonly to: number;
}

/**
 * The sealed log as lines of JSON, without their newlines, for `verifyLog`: a header `{format, origin, size}`; if earlier
 * events are left out, a start `{start, frontier, checkpoint}`, the state the rest goes on from; per event
 * `{position, digest, body, personal}` in order, where `body` is the exact text of the leaf and `personal` is the exact
 * text and salt behind its commitment, or null when there is none or it was erased; and each checkpoint
 * `{checkpoint}` after the last event it covers. Ends at the newest checkpoint at its start. `since`: leave out what comes
 * before the last checkpoint at or before this position. Holds one page of events in memory.
 */
export async function* exportLog(log: ExportedLog, since = 0): AsyncGenerator<string, Exported, undefined> {
  const to = (await stateAtOrBefore(log.db, Number.MAX_SAFE_INTEGER))?.size ?? 0;
  yield line({ format: EXPORT_FORMAT, origin: log.issuer, size: to });
  const start = await stateAtOrBefore(log.db, Math.max(since, await readLogStart(log.db)));
  const from = start?.size ?? 0;
  if (start !== null) yield line({ start: from, frontier: start.frontier, checkpoint: start.note });
  for (let first = from; first < to; first += EXPORT_PAGE_EVENTS) {
    yield* exportPage(log, first, Math.min(first + EXPORT_PAGE_EVENTS, to));
  }
  return { from, to };
}

/** The events at positions `start` to before `end`, and the checkpoints of sizes after `start` up to `end`. */
async function* exportPage(log: ExportedLog, start: number, end: number): AsyncGenerator<string, void, undefined> {
  const events = await log.db
    .selectFrom('events')
    .select(['position', 'body', 'body_digest', 'personal'])
    .where('position', '>=', start)
    .where('position', '<', end)
    .orderBy('position')
    .execute();
  const checkpoints = await log.db
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
