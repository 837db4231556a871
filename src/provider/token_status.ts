import type { Configuration } from 'oidc-provider';
import type { Store } from '../store/store.ts';
import { StatusNumbers } from '../tasks/token_statuses.ts';
import { statusReference } from '../wire/token_status_list_17.ts';
import { requestFacts } from './request_facts.ts';

type ExtraTokenClaims = NonNullable<Configuration['extraTokenClaims']>;

/** Tells where the status of a task's token is published, if it is; tokens for our own API need nobody to ask. */
export function withTokenStatus(store: Store, claims: ExtraTokenClaims): ExtraTokenClaims {
  if (!store.rules.tokenStatusLists) return claims;
  const numbers = new StatusNumbers(store);
  return async (ctx, token) => {
    const own = await claims(ctx, token);
    const facts = requestFacts(ctx);
    if (facts.task === undefined) return own;
    facts.statusNumber ??= await numbers.next();
    return { ...own, status: statusReference(store.issuer, facts.statusNumber) };
  };
}
