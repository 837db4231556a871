import type Router from '@koa/router';
import { sql } from 'kysely';
import type { Store } from '../store/store.ts';

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
  try {
    await sql`select 1`.execute(store.db);
    return undefined;
  } catch (error) {
    store.log.error({ err: error }, 'not ready: PostgreSQL does not answer');
    return 'database';
  }
}
