import { type AuthorizationCode, errors, type KoaContextWithOIDC, Provider, type RefreshToken } from 'oidc-provider';
import { canonicalResource } from '../../agents/tool_servers.ts';
import type { Store } from '../../store/store.ts';
import { AlreadyConsumed, type Artifacts } from '../adapter.ts';
import { assertBoundToken } from '../dpop_required.ts';
import { findLiveTaskByGrant, isOfBeforeSuspension } from '../live_task.ts';
import { requestFacts } from '../request_facts.ts';
import { activeToolServer } from '../tool_server_target.ts';

type Redeemable = AuthorizationCode | RefreshToken;

/**
 * Codes and refresh tokens are redeemed by one step, `consume`. Everything that can refuse the request is asked before
 * it, so that a refused request has used nothing up; and whoever comes second kills the family (RFC 9700 §4.14.2).
 */
export function redeemOnce(provider: Provider, store: Store, artifacts: Artifacts): void {
  for (const model of [provider.AuthorizationCode, provider.RefreshToken]) {
    const consume = model.prototype.consume;
    model.prototype.consume = async function redeem(this: Redeemable): Promise<void> {
      const ctx = Provider.ctx;
      if (ctx === undefined) throw new Error('A code or refresh token is redeemed only by a token request.');
      await assertRedeemable(store, ctx, this);
      try {
        await consume.call(this);
      } catch (error) {
        if (error instanceof AlreadyConsumed && this.grantId !== undefined) {
          await revokeFamily(artifacts, ctx, this.grantId);
        }
        throw error;
      }
    };
  }
}

async function assertRedeemable(store: Store, ctx: KoaContextWithOIDC, source: Redeemable): Promise<void> {
  if (source.kind === 'AuthorizationCode' && !(source as AuthorizationCode).codeChallenge) {
    throw new errors.InvalidGrant('the code was issued without a code challenge');
  }
  const granted = new Set([...source.resourceIndicators].filter((value) => value !== undefined));
  const resource = askedResource(ctx, granted) ?? [...granted][0];
  if (resource === undefined) throw new errors.InvalidTarget('nothing was granted for a resource');
  const toolServer = await activeToolServer(store, ctx, resource);
  if (source.grantId === undefined) throw new errors.InvalidGrant('it belongs to no grant');
  const task = await findLiveTaskByGrant(store, source.grantId);
  if (!task.ok) throw withDescription(new errors.InvalidGrant(task.refusal.code), task.refusal.message);
  if (isOfBeforeSuspension(task.value, source.iat)) {
    const words = 'the agent was suspended since, and is active again: the person must sign in anew';
    throw withDescription(new errors.InvalidGrant('issued before a suspension'), words);
  }
  await assertBoundToken(store, ctx, task.value, toolServer);
  requestFacts(ctx).task = task.value;
}

/** The requested resource in its one spelling; the engine compares it with what was granted as a plain string. */
function askedResource(ctx: KoaContextWithOIDC, granted: ReadonlySet<string>): string | undefined {
  const { params } = ctx.oidc;
  const asked = params?.resource;
  if (asked === undefined) return undefined;
  const only = Array.isArray(asked) && asked.length === 1 ? asked[0] : asked;
  const resource = typeof only === 'string' ? canonicalResource(only) : undefined;
  if (resource === undefined || !granted.has(resource)) {
    throw new errors.InvalidTarget('the person did not grant access to this resource');
  }
  Object.assign(params ?? {}, { resource });
  return resource;
}

async function revokeFamily(artifacts: Artifacts, ctx: KoaContextWithOIDC, grantId: string): Promise<void> {
  await Promise.all([artifacts.durable.revokeByGrant(grantId), artifacts.ephemeral.revokeByGrant(grantId)]);
  const facts = requestFacts(ctx);
  facts.revokedGrants ??= new Set();
  facts.revokedGrants.add(grantId);
}

function withDescription(error: errors.InvalidGrant, description: string): errors.InvalidGrant {
  error.error_description = description;
  return error;
}
