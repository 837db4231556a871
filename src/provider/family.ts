import type { Middleware } from 'koa';
import type { Provider } from 'oidc-provider';
import { append } from '../events/append.ts';
import type { Store } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { endTask } from '../tasks/finish.ts';
import { requestFacts } from './request_facts.ts';

/** Remembers for `endRevokedFamilies` which Grants the engine revoked during a request. */
export function watchRevokedGrants(provider: Provider): void {
  provider.on('grant.revoked', (ctx, grantId) => {
    const facts = requestFacts(ctx);
    facts.revokedGrants ??= new Set();
    facts.revokedGrants.add(grantId);
  });
}

/**
 * One task, one grant, one refresh family (design §2): when a family is revoked, because a spent code or refresh token
 * came back or because its client gave it up, its task ends, and with it every access token that is still out.
 */
export function endRevokedFamilies(store: Store): Middleware {
  return async (ctx, next) => {
    await next();
    const { revokedGrants } = requestFacts(ctx);
    if (revokedGrants === undefined) return;
    const isReuse = (ctx as { oidc?: { route: string } }).oidc?.route === 'token';
    for (const grantId of revokedGrants) await endFamily(store, grantId, isReuse);
  };
}

async function endFamily(store: Store, grantId: string, isReuse: boolean): Promise<void> {
  const task = await store.db
    .selectFrom('tasks')
    .select(['id', 'agent_id', 'client_id'])
    .where('oauth_grant_id', '=', grantId)
    .where('state', '=', 'active')
    .executeTakeFirst();
  if (task === undefined) return;
  if (isReuse) {
    store.log.warn(
      { task: task.id, client: task.client_id },
      'a spent code or refresh token came back; its family is revoked',
    );
    await transact(store, (tx, afterCommit) =>
      append(store, tx, afterCommit, { kind: 'token.reused', ids: { task: task.id, client: task.client_id } }),
    );
  }
  await endTask(store, { taskId: task.id, how: 'cancelled', by: { agentId: task.agent_id } });
}
