import type { Configuration } from 'oidc-provider';
import type { Store } from '../store/store.ts';

/** The vault's purpose for the secret that nonces are made of: the same on every node, and none that is stored. */
const NONCE_PURPOSE = 'dpop-nonce';

/**
 * RFC 9449 §8: a nonce changes every minute and is good for some minutes on every node, so that no proof can be made long in
 * advance by whoever has the key for a moment. Proofs with a nonce are marked as used like all others.
 */
export function dpopFeature({
  vault,
  rules,
}: Pick<Store, 'vault' | 'rules'>): NonNullable<NonNullable<Configuration['features']>['dPoP']> {
  const { noncesRequired } = rules.dpop;
  return {
    enabled: true,
    nonceSecret: vault.hmac(NONCE_PURPOSE, 'token endpoint'),
    requireNonce: () => noncesRequired,
  };
}
