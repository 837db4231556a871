import type { RiskClass } from '../wire/manifest.ts';

/** Where the keys of somebody else's tokens are published. */
export interface KeyLocation {
  readonly issuer: string;
  /** Null: found by OpenID Connect Discovery at the issuer. */
  readonly jwksUri: string | null;
  /** `jwt_svid`: a SPIFFE bundle, of which only the keys of JWT-SVIDs count. */
  readonly format: 'jwks' | 'jwt_svid';
}

/** A platform whose tokens say which workload runs: a CI service, a cluster, a SPIFFE trust domain (`spiffe://…`). */
export interface WorkloadIssuer extends KeyLocation {
  readonly kind: 'oidc' | 'spiffe';
  /** The only audience that its tokens may have here. */
  readonly audience: string;
  /** `once`: each token works once. `one_key`: as often as its holder proves possession of the key it first came with. */
  readonly uses: 'once' | 'one_key';
  /** The longest life of its tokens. */
  readonly secondsMax: number;
}

/** An identity provider whose assertions let an agent act for one of our people (ID-JAG). */
export interface AssertionIssuer extends KeyLocation {
  /** Of a provider that serves several organisations: the one whose people are ours. */
  readonly tenant: string | null;
  readonly secondsMax: number;
}

export interface Federation {
  readonly workloadIssuers: readonly WorkloadIssuer[];
  readonly assertionIssuers: readonly AssertionIssuer[];
}

export const NO_FEDERATION: Federation = { workloadIssuers: [], assertionIssuers: [] };

/** When tokens must be bound to a key (RFC 9449), besides those of agents that are registered so. */
export interface DpopRules {
  /** Whether proofs need a nonce of ours. */
  readonly noncesRequired: boolean;
  /** From which class of risk on; null: never. */
  readonly requiredFromRisk: RiskClass | null;
}

export const NO_DPOP_RULES: DpopRules = { noncesRequired: false, requiredFromRisk: null };

const ORDER: readonly RiskClass[] = ['read', 'write', 'critical'];

/** The classes of tools that need a bound token, the least dangerous one first. */
export function boundRisks({ requiredFromRisk }: DpopRules): readonly RiskClass[] {
  return requiredFromRisk === null ? [] : ORDER.slice(ORDER.indexOf(requiredFromRisk));
}
