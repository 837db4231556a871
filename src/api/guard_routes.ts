import type Router from '@koa/router';
import type { JWK } from 'jose';
import type { Context } from 'koa';
import type { PolicyBook } from '../agents/policy_book.ts';
import { reportManifest } from '../agents/report_manifest.ts';
import { findToolServerByClient, type ToolServer } from '../agents/tool_servers.ts';
import { WAIT_SECONDS_MAX } from '../approvals/limits.ts';
import { openStepUp } from '../approvals/open.ts';
import { waitForStepUp } from '../approvals/wait.ts';
import { withdrawStepUp } from '../approvals/withdraw.ts';
import type { JsonObject } from '../kernel/json.ts';
import { whileParked } from '../kernel/parking.ts';
import { Places } from '../kernel/places.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Store } from '../store/store.ts';
import { authorizeCall } from '../tasks/authorize_call.ts';
import { recordOutcome } from '../tasks/outcome.ts';
import { redeem } from '../tasks/redeem.ts';
import { visibleTools } from '../tasks/visible_tools.ts';
import { type AccessTokenClaims, parseAccessTokenClaims } from '../wire/claims.ts';
import {
  challengeRequestSchema,
  type EvaluateRequest,
  evaluateRequestSchema,
  GUARD_API,
  GUARD_API_PATH,
  GUARD_API_SCOPE,
  manifestRequestSchema,
  outcomeRequestSchema,
  redeemRequestSchema,
  visibleToolsRequestSchema,
} from '../wire/guard_api.ts';
import { type Refusal, refusal, refusalBody } from '../wire/refusals.ts';
import { BASE_SCOPE } from '../wire/scopes.ts';
import { readTraceparent } from '../wire/trace_context.ts';
import type { TokenVerifier } from './bearer.ts';
import { answer, answerRefusal, readJson } from './http.ts';
import { EVALUATIONS_PER_TOOL_SERVER_MAX, MANIFESTS_PER_MINUTE, WAITS_PER_TOOL_SERVER_MAX } from './limits.ts';

export interface GuardApi {
  readonly store: Store;
  readonly book: PolicyBook;
  readonly tokens: TokenVerifier;
  /** Aborts when this process is about to end: who waits is answered with the state as it is, and asks another one. */
  readonly draining: AbortSignal;
}

/** Every route acts for the guard's own tool server only, found by the client its token was issued to (design §3). */
export function addGuardRoutes(router: Router, api: GuardApi): void {
  const waits = new Places(WAITS_PER_TOOL_SERVER_MAX);
  const evaluations = new Places(EVALUATIONS_PER_TOOL_SERVER_MAX);
  const guarded = guardedBy(api);
  router.post(
    GUARD_API.evaluate,
    guarded((ctx, server) => inPlace(evaluations, server, () => evaluate(ctx, server, api))),
  );
  router.post(
    GUARD_API.challenges,
    guarded((ctx, server) => challenge(ctx, server, api)),
  );
  router.get(
    GUARD_API.wait(':id').replace('%3A', ':'),
    guarded((ctx, server) => wait(ctx, server, api, waits)),
  );
  router.post(
    GUARD_API.withdraw(':id').replace('%3A', ':'),
    guarded((ctx, server) => withdraw(ctx, server, api)),
  );
  router.post(
    GUARD_API.redeem,
    guarded((ctx, server) => redeemGrant(ctx, server, api)),
  );
  router.post(
    GUARD_API.outcome(':id').replace('%3A', ':'),
    guarded((ctx, server) => outcome(ctx, server, api)),
  );
  router.post(
    GUARD_API.visibleTools,
    guarded((ctx, server) => listVisible(ctx, server, api)),
  );
  router.post(
    GUARD_API.manifest,
    guarded((ctx, server) => manifest(ctx, server, api)),
  );
}

/** One guard that asks without end leaves room for the others. */
async function inPlace(
  places: Places,
  server: ToolServer,
  work: () => Promise<Refusal | undefined>,
): Promise<Refusal | undefined> {
  if (!places.take(server.id)) {
    return refusal('rate_limited', 'This guard asks for more at a time than it may.', { retry_after_seconds: 1 });
  }
  return work().finally(() => places.leave(server.id));
}

/** Makes a route of guards out of what answers an authenticated one. */
export function guardedBy(api: Pick<GuardApi, 'store' | 'tokens'>) {
  return (handle: (ctx: Context, server: ToolServer) => Promise<Refusal | undefined>) => async (ctx: Context) => {
    const server = await authenticateGuard(ctx, api);
    // Tells the guard that its own token failed, not the caller's (RFC 9449 §7.1).
    if (!server.ok) ctx.set('WWW-Authenticate', 'DPoP error="invalid_token"');
    const found = server.ok ? await handle(ctx, server.value) : server.refusal;
    if (found !== undefined) answerRefusal(ctx, found);
  };
}

async function authenticateGuard(
  ctx: Context,
  { store, tokens }: Pick<GuardApi, 'store' | 'tokens'>,
): Promise<Result<ToolServer, Refusal>> {
  const token = await tokens.authenticate(ctx, {
    audience: `${store.issuer}${GUARD_API_PATH}`,
    scope: GUARD_API_SCOPE,
    isProofRequired: true,
  });
  if (!token.ok) return token;
  const server = await findToolServerByClient(store, String(token.value.client_id));
  if (server === undefined || server.state === 'rejected') {
    return refused(refusal('guard_not_allowed', 'This client is not the guard of a registered tool server.'));
  }
  return accepted(server);
}

/** The caller whose token the guard presents: our own token, for this guard's resource, bound as the guard checked. */
async function readCaller(
  server: ToolServer,
  caller: EvaluateRequest['caller'],
  { tokens }: GuardApi,
): Promise<Result<AccessTokenClaims, Refusal>> {
  const verified = await tokens.verify(caller.access_token, server.resource);
  if (!verified.ok) return verified;
  const claims = parseAccessTokenClaims(verified.value);
  if (!claims.ok) return claims;
  if (claims.value.cnf !== undefined && claims.value.cnf.jkt !== caller.dpop_jkt) {
    return refused(refusal('dpop_proof_invalid', 'The token is bound to a key, and its proof was not shown.'));
  }
  // A refresh may narrow the scope (RFC 6749 §6); a token without the base scope is for no tool.
  if (!claims.value.scope.split(' ').includes(BASE_SCOPE)) {
    return refused(refusal('token_invalid', `The access token lacks the scope "${BASE_SCOPE}".`));
  }
  return claims;
}

async function evaluate(ctx: Context, server: ToolServer, api: GuardApi): Promise<Refusal | undefined> {
  const request = await readJson(ctx, evaluateRequestSchema);
  if (!request.ok) return request.refusal;
  const claims = await readCaller(server, request.value.caller, api);
  if (!claims.ok) {
    // The caller's token is wrong, not the guard's: that is an answer, not a failure of this request.
    answer(ctx, { decision: 'deny', principal: null, refusal: refusalBody(claims.refusal) });
    return undefined;
  }
  const decided = await authorizeCall(api.store, api.book, {
    server,
    claims: claims.value,
    action: request.value.action,
    guardInstance: request.value.guard_instance,
    traceparent: readTraceparent(ctx.get('traceparent')),
  });
  answer(ctx, decided as unknown as JsonObject);
  return undefined;
}

async function challenge(ctx: Context, server: ToolServer, { store }: GuardApi): Promise<Refusal | undefined> {
  const request = await readJson(ctx, challengeRequestSchema);
  if (!request.ok) return request.refusal;
  const opened = await openStepUp(store, {
    stepUpId: request.value.step_up_id,
    toolServer: server,
    challenge: request.value.challenge,
    guardKeys: await guardKeys(store, server.client_id),
  });
  if (!opened.ok) return opened.refusal;
  answer(ctx, { ...opened.value });
  return undefined;
}

async function guardKeys(store: Store, clientId: string): Promise<JWK[]> {
  const client = await store.db
    .selectFrom('oauth_clients')
    .select('metadata')
    .where('client_id', '=', clientId)
    .executeTakeFirstOrThrow();
  return (client.metadata.jwks as unknown as { keys: JWK[] }).keys;
}

async function wait(
  ctx: Context,
  server: ToolServer,
  { store, draining }: GuardApi,
  waits: Places,
): Promise<Refusal | undefined> {
  const seconds = Number(ctx.query.seconds ?? '0');
  if (!(seconds >= 0 && seconds <= WAIT_SECONDS_MAX)) {
    return refusal('request_invalid', `"seconds" must be 0 to ${WAIT_SECONDS_MAX}.`);
  }
  if (!waits.take(server.id)) {
    const words = `${WAITS_PER_TOOL_SERVER_MAX} requests of this guard wait already.`;
    return refusal('rate_limited', words, { retry_after_seconds: WAIT_SECONDS_MAX });
  }
  const gone = new AbortController();
  ctx.req.once('close', () => gone.abort());
  const status = await whileParked(() =>
    waitForStepUp(store, {
      stepUpId: ctx.params.id,
      toolServerId: server.id,
      timeoutMs: seconds * 1000,
      signal: AbortSignal.any([gone.signal, draining]),
    }),
  ).finally(() => waits.leave(server.id));
  if (!status.ok) return status.refusal;
  answer(ctx, { ...status.value });
  return undefined;
}

async function withdraw(ctx: Context, server: ToolServer, { store }: GuardApi): Promise<Refusal | undefined> {
  const withdrawn = await withdrawStepUp(store, {
    stepUpId: ctx.params.id,
    toolServerId: server.id,
    reason: 'The client cancelled the call.',
  });
  answer(ctx, { withdrawn });
  return undefined;
}

async function redeemGrant(ctx: Context, server: ToolServer, api: GuardApi): Promise<Refusal | undefined> {
  const request = await readJson(ctx, redeemRequestSchema);
  if (!request.ok) return request.refusal;
  const claims = await readCaller(server, request.value.caller, api);
  if (!claims.ok) return claims.refusal;
  const redeemed = await redeem(api.store, api.book, {
    server,
    claims: claims.value,
    action: request.value.action,
    attemptId: request.value.attempt_id,
    guardInstance: request.value.guard_instance,
  });
  if (!redeemed.ok) return redeemed.refusal;
  answer(ctx, { ...redeemed.value });
  return undefined;
}

async function outcome(ctx: Context, server: ToolServer, { store }: GuardApi): Promise<Refusal | undefined> {
  const request = await readJson(ctx, outcomeRequestSchema);
  if (!request.ok) return request.refusal;
  const recorded = await recordOutcome(store, {
    redemptionId: ctx.params.id,
    toolServerId: server.id,
    attemptId: request.value.attempt_id,
    guardInstance: request.value.guard_instance,
    outcome: request.value.outcome,
    result: request.value.result as JsonObject | null,
  });
  if (!recorded.ok) return recorded.refusal;
  answer(ctx, { ...recorded.value });
  return undefined;
}

async function listVisible(ctx: Context, server: ToolServer, api: GuardApi): Promise<Refusal | undefined> {
  const request = await readJson(ctx, visibleToolsRequestSchema);
  if (!request.ok) return request.refusal;
  const claims = await readCaller(server, request.value.caller, api);
  if (!claims.ok) return claims.refusal;
  const visible = await visibleTools(api.store, api.book, { server, claims: claims.value, tools: request.value.tools });
  if (!visible.ok) return visible.refusal;
  answer(ctx, { ...visible.value, principal: { ...visible.value.principal } });
  return undefined;
}

async function manifest(ctx: Context, server: ToolServer, { store }: GuardApi): Promise<Refusal | undefined> {
  const count = await store.ephemeral.increment(`manifests:${server.id}`, 60_000);
  if (count > MANIFESTS_PER_MINUTE) {
    const words = `More than ${MANIFESTS_PER_MINUTE} lists of tools within a minute.`;
    return refusal('rate_limited', words, { retry_after_seconds: 60 });
  }
  const request = await readJson(ctx, manifestRequestSchema);
  if (!request.ok) return request.refusal;
  const reported = await reportManifest(store, server, request.value.tools as JsonObject[]);
  if (!reported.ok) return reported.refusal;
  answer(ctx, { tool_server: server.id, ...reported.value });
  return undefined;
}
