import type { Store, Tx } from '../store/store.ts';

/** Whether anybody can administer this server. While nobody can, a set-up link makes the first who can. */
export async function hasAdministrator(store: { readonly db: Store['db'] | Tx }): Promise<boolean> {
  const row = await store.db
    .selectFrom('people')
    .select('id')
    .where('is_administrator', '=', true)
    .where('state', '=', 'active')
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}
