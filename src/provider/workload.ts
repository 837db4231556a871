import { stringify } from 'node:querystring';
import type { Middleware } from 'koa';
import { type FoundWorkload, findWorkload, noteWorkloadUse } from '../agents/find_workload.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { RemoteKeySets } from '../keys/remote_key_sets.ts';
import type { WorkloadIssuer } from '../model/federation.ts';
import type { Store } from '../store/store.ts';
import { clientAssertion } from '../wire/client_assertion_rfc7523.ts';
import { verifyDpopProof } from '../wire/dpop_rfc9449.ts';
import { type ForeignToken, peekForeignToken, verifyForeignToken } from '../wire/foreign_token.ts';
import { IDENTIFIER_CHARACTERS_MAX } from '../wire/limits.ts';
import { generatePrivateKeyJwk, importSigningKey, type SigningKey } from '../wire/signing_key.ts';
import { countRefusal, mustWait, recordRefusedAssertion } from './refused_assertion.ts';
import { type FormFields, handOver, readForm } from './request_body.ts';
import { requestFacts } from './request_facts.ts';
import { markUsed } from './single_use.ts';
import { findWorkloadCredential, type WorkloadCredential } from './workload_credential.ts';

export interface WorkloadOptions {
  readonly store: Store;
  readonly platforms: readonly WorkloadIssuer[];
  readonly keySets: RemoteKeySets;
}

/** Where clients authenticate. */
const PATHS = new Set(['/token', '/introspect', '/revoke', '/par']);
/** JWT-SVID §2.3; others name no type. Access tokens, identity assertions and the like have types of their own. */
const WORKLOAD_TYPES = [undefined, 'jwt', 'jose'];

interface WorkloadProblem {
  readonly code: string;
  readonly message: string;
}

/**
 * Workload identity federation: the token of a trusted platform stands for an agent, as its client authentication (RFC 7523
 * §2.2) or as grant and authentication in one (MCP SEP-1933, draft of 2026-06-23). The engine knows only assertions that a
 * client signed itself. So once the platform's token is verified, this process vouches for it by an assertion of its own, by
 * a key that counts for this request alone, and everything that follows is as for any other agent.
 */
export function authenticateWorkloads({ store, platforms, keySets }: WorkloadOptions): Middleware {
  let ownKey: Promise<SigningKey> | undefined;
  return async (ctx, next) => {
    if (platforms.length === 0 || ctx.method !== 'POST' || !PATHS.has(ctx.path)) return next();
    const form = await readForm(ctx.req);
    const credential =
      form === undefined ? undefined : findWorkloadCredential(form, ctx.get('Authorization') !== '', platforms);
    if (form === undefined || credential === undefined) return next();
    if (await mustWait(store, ctx)) return;
    const workload = await signIn(store, keySets, credential, ctx);
    if (!workload.ok) return answerRefused(store, ctx, credential, workload.refusal);
    ownKey ??= generatePrivateKeyJwk().then(importSigningKey);
    const key = await ownKey;
    const { agentId, clientId } = workload.value;
    requestFacts(ctx).workload = { agentId, clientId, publicJwk: key.publicJwk, isGrant: credential.isGrant };
    const vouched = await clientAssertion(key, { clientId, issuer: store.issuer }, new Date());
    handOver(ctx.req, Buffer.from(stringify({ ...withoutCredential(form, credential), ...vouched })));
    return next();
  };
}

/** The grant of SEP-1933 asks for what an agent gets by client credentials. */
function withoutCredential({ assertion, ...form }: FormFields, { isGrant }: WorkloadCredential): FormFields {
  if (isGrant) return { ...form, grant_type: 'client_credentials' };
  return assertion === undefined ? form : { ...form, assertion };
}

async function signIn(
  store: Store,
  keySets: RemoteKeySets,
  { token, platform, clientId }: WorkloadCredential,
  ctx: Parameters<Middleware>[0],
): Promise<Result<FoundWorkload, WorkloadProblem>> {
  const now = new Date();
  const verified = await verifyForeignToken(token, keySets.finder(platform), {
    issuer: platform.kind === 'spiffe' ? null : platform.issuer,
    audience: platform.audience,
    types: WORKLOAD_TYPES,
    secondsMax: platform.secondsMax,
    now,
  });
  if (!verified.ok) return verified;
  const { subject, claims } = verified.value;
  const { issuer, audience } = platform;
  const found = await findWorkload(store, { issuer, audience, subject, claims, clientId });
  if (!found.ok) return found;
  if (!found.value.isActive) return refused({ code: 'agent_inactive', message: 'its agent is not active' });
  const used = await use(store, ctx, platform, verified.value, token, now);
  if (!used.ok) return used;
  await noteWorkloadUse(store, found.value);
  return found;
}

async function use(
  store: Store,
  ctx: Parameters<Middleware>[0],
  { uses, issuer }: WorkloadIssuer,
  verified: ForeignToken,
  token: string,
  now: Date,
): Promise<Result<true, WorkloadProblem>> {
  let holder: string | undefined;
  if (uses === 'one_key') {
    const htu = `${store.issuer}${ctx.path}`;
    const proof = await verifyDpopProof(ctx.req.headers.dpop, { htm: 'POST', htu, now });
    if (!proof.ok) {
      return refused({
        code: 'no_proof',
        message: `it may come again only with a proof of one key. ${proof.refusal.message}`,
      });
    }
    holder = proof.value.jkt;
  }
  const { jti, issuedAt, expiresAt } = verified;
  switch (await markUsed(store.ephemeral, { issuer, token, jti, issuedAt, expiresAt, holder }, now)) {
    case 'first':
      return accepted(true);
    case 'again':
      return refused({ code: 'replayed', message: 'it was used before: get a new one for every request' });
    case 'forgotten':
      return refused({ code: 'forgotten', message: 'it is older than the memory of used ones: get a new one' });
  }
}

async function answerRefused(
  store: Store,
  ctx: Parameters<Middleware>[0],
  { platform, isGrant, clientId, token }: WorkloadCredential,
  { code, message }: WorkloadProblem,
): Promise<void> {
  await countRefusal(store, ctx.ip);
  const { issuer } = platform;
  const said = peekForeignToken(token)?.subject;
  const subject = typeof said === 'string' ? said.slice(0, IDENTIFIER_CHARACTERS_MAX) : null;
  await recordRefusedAssertion(store, { what: 'workload', code, issuer, client: clientId ?? null, subject, message });
  ctx.status = isGrant ? 400 : 401;
  ctx.set('Cache-Control', 'no-store');
  ctx.body = {
    error: isGrant ? 'invalid_grant' : 'invalid_client',
    error_description: `the token of ${issuer} is refused: ${message}`,
  };
}
