import type { JWK, JWTVerifyGetKey } from 'jose';
import type { Middleware } from 'koa';
import type { KoaContextWithOIDC } from 'oidc-provider';
import type { Keyring } from '../keys/keyring.ts';
import type { VerificationKeys } from '../keys/verification_keys.ts';

/** The keys of one OAuth engine; when they change, another engine is built (it takes a millisecond). */
export interface ProviderKeys {
  /** Private ES256 keys, the one that signs first. */
  readonly tokenKeys: { readonly keys: readonly JWK[] };
  /** The first signs cookies, all verify. */
  readonly cookieKeys: readonly string[];
  /** What everybody verifies with: of tokens and of leases, also what does not sign yet. */
  readonly published: readonly JWK[];
  readonly findTokenKey: JWTVerifyGetKey;
}

/** The keys in force. Throws `KeysOutdated` when none may sign. */
export function providerKeys(keyring: Keyring, verification: VerificationKeys): ProviderKeys {
  const signer = keyring.signer('token');
  const others = keyring.privateKeys('token').filter((key) => key.kid !== signer.kid);
  return {
    tokenKeys: { keys: [signer, ...others] },
    cookieKeys: keyring.secrets(),
    published: keyring.published(),
    findTokenKey: verification.find,
  };
}

/** The engine publishes the keys it signs with; leases are signed by others (RFC 7517 §5). */
export function publishKeys(published: readonly JWK[]): Middleware {
  return async (ctx, next) => {
    await next();
    const { oidc } = ctx as unknown as KoaContextWithOIDC;
    if (oidc?.route === 'jwks' && ctx.status === 200) ctx.body = { keys: published };
  };
}
