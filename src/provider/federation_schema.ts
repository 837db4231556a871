import { z } from 'zod';

const fetchedAddress = z.url({ protocol: /^https?$/ });
const seconds = z.number().int().positive();

const workloadIssuer = z.strictObject({
  issuer: z.string().min(1).max(500),
  kind: z.enum(['oidc', 'spiffe']).default('oidc'),
  jwks_uri: fetchedAddress.nullable().default(null),
  audience: z.string().min(1).max(500).nullable().default(null),
  uses: z.enum(['once', 'one_key']).default('once'),
  seconds_max: seconds.max(86_400).default(3_600),
});

const assertionIssuer = z.strictObject({
  issuer: z.string().min(1).max(500),
  jwks_uri: fetchedAddress.nullable().default(null),
  tenant: z.string().min(1).max(200).nullable().default(null),
  seconds_max: seconds.max(3_600).default(600),
});

/** `federation` of the configuration: whose tokens say who somebody is. */
export const federationSchema = z.strictObject({
  workload_issuers: z.array(workloadIssuer).max(100).default([]),
  identity_assertion_issuers: z.array(assertionIssuer).max(100).default([]),
});

/** `dpop` of the configuration. */
export const dpopSchema = z.strictObject({
  nonces: z.enum(['off', 'required']).default('off'),
  required_from_risk: z.enum(['read', 'write', 'critical']).nullable().default(null),
});

const HTTP_ISSUER = /^https?:\/\/[^\s?#]+$/;
const TRUST_DOMAIN = /^spiffe:\/\/[a-z0-9._-]{1,255}$/;

/** Tokens are told apart by the issuer that they name, so that one must mean one thing; and a trust domain says nothing of keys. */
export function checkFederation(
  federation: z.infer<typeof federationSchema>,
): { readonly place: string; readonly message: string } | undefined {
  const { workload_issuers: platforms, identity_assertion_issuers: providers } = federation;
  for (const [name, list] of Object.entries({ workload_issuers: platforms, identity_assertion_issuers: providers })) {
    const issuers = list.map(({ issuer }) => issuer);
    const twice = issuers.find((issuer, index) => issuers.indexOf(issuer) !== index);
    if (twice !== undefined) return { place: `federation.${name}`, message: `${twice} is listed twice.` };
  }
  for (const { issuer, kind, jwks_uri } of platforms) {
    const place = 'federation.workload_issuers';
    if (kind === 'oidc' && !HTTP_ISSUER.test(issuer)) return { place, message: noIssuer(issuer) };
    if (kind === 'oidc') continue;
    if (!TRUST_DOMAIN.test(issuer)) {
      return { place, message: `"${issuer}" is no SPIFFE trust domain: write it as spiffe://example.org.` };
    }
    if (jwks_uri === null) {
      return { place, message: `Give the address of the bundle of ${issuer} as jwks_uri.` };
    }
  }
  const stranger = providers.find(({ issuer }) => !HTTP_ISSUER.test(issuer));
  if (stranger === undefined) return undefined;
  return { place: 'federation.identity_assertion_issuers', message: noIssuer(stranger.issuer) };
}

function noIssuer(issuer: string): string {
  return `"${issuer}" is no issuer: write its https address, exactly as its tokens name it.`;
}
