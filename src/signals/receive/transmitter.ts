import { z } from 'zod';

const transmitter = z.strictObject({
  issuer: z.url({ protocol: /^https?$/ }),
  jwks_uri: z.url({ protocol: /^https?$/ }),
  audience: z.string().min(1).max(500),
  subject_issuers: z.array(z.string().min(1).max(500)).max(20).default([]),
  opaque_is_external_id: z.boolean().default(false),
});

/** Somebody whose security events we act on, as the configuration has it. */
export type Transmitter = z.infer<typeof transmitter>;

/** `signals` of the configuration. */
export const signalsSchema = z.strictObject({ transmitters: z.array(transmitter).max(20).default([]) });

/** Tokens name their issuer, so that one must mean one thing. */
export function checkSignals(
  signals: z.infer<typeof signalsSchema>,
): { readonly place: string; readonly message: string } | undefined {
  const issuers = signals.transmitters.map(({ issuer }) => issuer);
  const twice = issuers.find((issuer, index) => issuers.indexOf(issuer) !== index);
  return twice === undefined ? undefined : { place: 'signals.transmitters', message: `${twice} is listed twice.` };
}

/** Nobody speaks of the people of somebody else, unless the configuration says so. */
export function speaksFor({ subject_issuers, issuer }: Transmitter, subjectIssuer: string): boolean {
  return subject_issuers.length === 0 ? subjectIssuer === issuer : subject_issuers.includes(subjectIssuer);
}
