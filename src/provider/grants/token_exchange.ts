import { errors, type Provider, type TokenEndpointGrantContext } from 'oidc-provider';
import {
  buildTokenResponse,
  checkDpopReplay,
  resolveRequestedResources,
  validateDpop,
} from 'oidc-provider/lib/helpers/grants.js';
import type { PolicyBook } from '../../agents/policy_book.ts';
import { type Delegated, delegate } from '../../tasks/delegate.ts';
import { type DelegationRefusal, refuseDelegation } from '../../tasks/delegation_refusal.ts';
import { assertBoundToken } from '../dpop_required.ts';
import { findLiveDelegation, type LiveTask } from '../live_task.ts';
import { requestFacts } from '../request_facts.ts';
import { taskDetail } from './authorization_details.ts';
import { delegationDetail, TOKEN_EXCHANGE_GRANT } from './delegation_detail.ts';
import { type RefusedExchange, refuseExchange } from './exchange_refusal.ts';
import {
  ACCESS_TOKEN_TYPE,
  EXCHANGE_PARAMETERS,
  type Exchange,
  type ExchangeParameters,
  type ExchangeParts,
  readExchange,
} from './exchange_request.ts';

type ExchangeContext = TokenEndpointGrantContext<ExchangeParameters>;

export interface TokenExchangeParts extends ExchangeParts {
  readonly book: PolicyBook;
}

/** RFC 8693: one agent hands its work, or a part of it, to another. The new token has no refresh token: it is exchanged for again. */
export function registerTokenExchange(provider: Provider, parts: TokenExchangeParts): void {
  // Repeated resources reach the check that says what is wrong with them.
  provider.registerGrantType<ExchangeParameters>(
    TOKEN_EXCHANGE_GRANT,
    (ctx) => exchangeToken(provider, parts, ctx),
    EXCHANGE_PARAMETERS,
    ['resource', 'audience'],
  );
}

async function exchangeToken(provider: Provider, parts: TokenExchangeParts, ctx: ExchangeContext): Promise<void> {
  const { store, book } = parts;
  const known: RefusedExchange = {
    client: ctx.oidc.client.clientId,
    agent: null,
    fromAgent: null,
    task: null,
    delegation: null,
    subjectToken: null,
  };
  const refuse = async (refusal: DelegationRefusal) => {
    requestFacts(ctx).isRefusedExchange = true;
    return refuseExchange(store, known, refusal);
  };
  const proof = await proveKey(provider, ctx, refuse);
  const exchange = await readExchange(parts, ctx, proof, known);
  if (!exchange.ok) throw await refuse(exchange.refusal);
  const delegated = await delegate(store, book, {
    ...exchange.value,
    seconds: requestFacts(ctx).narrowing?.seconds,
  });
  if (!delegated.ok) throw await refuse(delegated.refusal);
  // Read anew: an ancestor that was revoked in between has taken this one with it.
  const live = await findLiveDelegation(store, delegated.value.delegationId, exchange.value.resources[0]?.resource);
  if (!live.ok) throw await refuse(refuseDelegation('subject_ended', live.refusal.message).refusal);
  await issue(provider, parts, ctx, { exchange: exchange.value, delegated: delegated.value, live: live.value, refuse });
}

/** The thumbprint of the key that the request is proven with, if it is; a proof is good once. */
async function proveKey(
  provider: Provider,
  ctx: ExchangeContext,
  refuse: (refusal: DelegationRefusal) => Promise<Error>,
): Promise<string | undefined> {
  try {
    const proof = await validateDpop(provider, ctx);
    await checkDpopReplay(provider, ctx, proof, ctx.oidc.client.clientId);
    return proof?.thumbprint;
  } catch (error) {
    const isRefused = error instanceof errors.InvalidDpopProof || error instanceof errors.InvalidGrant;
    if (isRefused) await refuse(refuseDelegation('key_not_proven', '').refusal);
    throw error;
  }
}

interface Issue {
  readonly exchange: Exchange;
  readonly delegated: Delegated;
  readonly live: LiveTask;
  readonly refuse: (refusal: DelegationRefusal) => Promise<Error>;
}

async function issue(
  provider: Provider,
  { store }: TokenExchangeParts,
  ctx: ExchangeContext,
  { exchange, delegated, live, refuse }: Issue,
): Promise<void> {
  const { subject, scope, thumbprint } = exchange;
  if (live.scopes?.includes(scope) === false) {
    const message = `an agent of this chain may not have the scope ${scope}`;
    throw await refuse(refuseDelegation('scope_outside', message).refusal);
  }
  // Never beyond the token that it comes from, whatever is left of the task (T32).
  const secondsLeft = subject.exp - Math.floor(Date.now() / 1000);
  if (secondsLeft < 1) {
    throw await refuse(refuseDelegation('subject_invalid', 'the subject_token has expired').refusal);
  }
  const facts = requestFacts(ctx);
  facts.task = live;
  facts.authentication = subject;
  const [resourceServer] = await resolveRequestedResources(provider, ctx);
  if (resourceServer === undefined || live.toolServer === undefined) throw new errors.InvalidTarget();
  if (thumbprint === undefined) await assertBoundToken(store, ctx, live, live.toolServer);
  const token = new provider.AccessToken({
    accountId: live.requesterId,
    grantId: live.delegationId,
    client: ctx.oidc.client,
    gty: 'token_exchange',
    scope,
    expiresIn: Math.min(resourceServer.accessTokenTTL ?? secondsLeft, secondsLeft),
  });
  token.resourceServer = resourceServer;
  if (thumbprint !== undefined) token.setThumbprint('jkt', thumbprint);
  ctx.oidc.entity('AccessToken', token);
  ctx.body = buildTokenResponse(provider, {
    accessToken: await token.save(),
    tokenType: token.tokenType,
    issuedTokenType: ACCESS_TOKEN_TYPE,
    expiresIn: token.expiration,
    scope,
    authorizationDetails: [taskDetail(live.id), delegationDetail(delegated, live.secondsLeft)],
  });
}
