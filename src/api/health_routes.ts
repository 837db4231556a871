import { setTimeout as sleep } from 'node:timers/promises';
import type Router from '@koa/router';
import { sql } from 'kysely';
import type { Store } from '../store/store.ts';
import { READY_MS_MAX } from './limits.ts';

/** `/livez`: the process runs. `/readyz`: it can decide, which needs PostgreSQL. */
export function addHealthRoutes(router: Router, store: Store, isDraining: () => boolean): void {
  router.get('/livez', (ctx) => {
    ctx.body = { status: 'ok' };
  });
  router.get('/readyz', async (ctx) => {
    const reason = isDraining() ? 'draining' : await checkDatabase(store);
    ctx.status = reason === undefined ? 200 : 503;
    ctx.body = reason === undefined ? { status: 'ok' } : { status: 'unavailable', reason };
  });
}

async function checkDatabase(store: Store): Promise<string | undefined> {
  const late = new AbortController();
  const asked = sql`select 1`.execute(store.db).then(
    () => 'answered' as const,
    (error: unknown) => {
      store.log.error({ err: error }, 'not ready: PostgreSQL does not answer');
      return 'failed' as const;
    },
  );
  const gaveUp = sleep(READY_MS_MAX, 'failed' as const, { signal: late.signal }).catch(() => 'failed' as const);
  const outcome = await Promise.race([asked, gaveUp]);
  late.abort();
  return outcome === 'answered' ? undefined : 'database';
}
