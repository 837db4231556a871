import type { Config } from '../config.ts';
import type { Federation } from '../model/federation.ts';

/** Whom tokens are accepted from, as the configuration says. */
export function federationOf({ issuer, federation }: Config): Federation {
  return {
    workloadIssuers: federation.workload_issuers.map((one) => ({
      issuer: one.issuer,
      kind: one.kind,
      jwksUri: one.jwks_uri,
      format: one.kind === 'spiffe' ? 'jwt_svid' : 'jwks',
      audience: one.audience ?? issuer,
      uses: one.uses,
      secondsMax: one.seconds_max,
    })),
    assertionIssuers: federation.identity_assertion_issuers.map((one) => ({
      issuer: one.issuer,
      jwksUri: one.jwks_uri,
      format: 'jwks',
      tenant: one.tenant,
      secondsMax: one.seconds_max,
    })),
  };
}
