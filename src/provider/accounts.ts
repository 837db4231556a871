import type { FindAccount } from 'oidc-provider';
import type { Store } from '../store/store.ts';
import { requestFacts } from './request_facts.ts';

/** The people who may sign in: those who are active now. A disabled person's codes and refresh tokens stop working. */
export function createFindAccount(store: Store): FindAccount {
  return async (ctx, personId) => {
    // The task's own check has just seen that its requester is active.
    const isKnownActive = requestFacts(ctx).task?.requesterId === personId;
    if (!isKnownActive && !(await isActive(store, personId))) return undefined;
    return { accountId: personId, claims: () => ({ sub: personId }) };
  };
}

async function isActive(store: Store, personId: string): Promise<boolean> {
  const row = await store.db
    .selectFrom('people')
    .select('id')
    .where('id', '=', personId)
    .where('state', '=', 'active')
    .executeTakeFirst();
  return row !== undefined;
}
