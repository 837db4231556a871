import { sql } from 'kysely';
import { pruneOutbox } from '../approvals/outbox.ts';
import type { Store } from '../store/store.ts';

const PRUNE_MS = 3_600_000;
/** Expired sessions and links are kept this long for those who ask what happened. */
const KEPT_DAYS = 30;

/** Deletes what expired: OAuth artifacts, revocations of dead tokens, old sessions and links. Once an hour. */
export function startPruning(
  store: Store,
  artifacts: { prune(): Promise<number> },
): { prune(): Promise<void>; stop(): Promise<void> } {
  let running: Promise<void> = Promise.resolve();
  const prune = async () => {
    // In batches, so that no statement runs long.
    while ((await artifacts.prune()) > 0);
    while ((await pruneOutbox(store)) > 0);
    const past = sql<Date>`clock_timestamp() - make_interval(days => ${KEPT_DAYS})`;
    await store.db.deleteFrom('revoked_tokens').where('expires_at', '<', sql<Date>`clock_timestamp()`).execute();
    await store.db.deleteFrom('sessions').where('expires_at', '<', past).execute();
    await store.db.deleteFrom('links').where('expires_at', '<', past).execute();
  };
  const timer = setInterval(() => {
    running = prune().catch((error: unknown) =>
      store.log.warn({ err: error }, 'pruning failed; it is tried again in an hour'),
    );
  }, PRUNE_MS);
  timer.unref();
  return {
    prune,
    async stop() {
      clearInterval(timer);
      await running;
    },
  };
}
