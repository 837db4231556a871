import { z } from 'zod';

/** Claims that can be given to somebody else, or that people choose themselves, name nobody. */
const MUTABLE_CLAIMS = ['email', 'preferred_username', 'upn', 'unique_name', 'name', 'nickname', 'phone_number'];

const claimValue = z.string().min(1).max(256);

/** One identity provider that people may sign in by, as the configuration writes it. */
export const upstreamSchema = z
  .strictObject({
    id: z.string().regex(/^[a-z0-9-]{1,32}$/, 'use 1 to 32 of a-z, 0-9 and "-"'),
    name: z.string().min(1).max(50),
    issuer: z
      .url()
      .refine((url) => !/[?#]/.test(url), 'leave out query and fragment')
      .refine((url) => !url.includes('/.well-known/'), 'name the issuer itself, not its discovery document'),
    client_id: z.string().min(1).max(256),
    client_secret_file: z.string().min(1).nullable().default(null),
    private_key_file: z.string().min(1).nullable().default(null),
    scopes: z.array(z.string().regex(/^[!#-[\]-~]+$/)).default(['openid', 'profile', 'email']),
    new_people: z.enum(['allowed_groups', 'anyone', 'nobody']).default('allowed_groups'),
    groups_claim: z.string().min(1).max(100).nullable().default(null),
    allowed_groups: z.array(claimValue).default([]),
    administrators_group: claimValue.nullable().default(null),
    groups_map: z.record(claimValue, z.string().min(1).max(200)).nullable().default(null),
    directory_claim: z
      .string()
      .min(1)
      .max(100)
      .refine(
        (claim) => !MUTABLE_CLAIMS.includes(claim),
        'name a claim that never changes and is never given to another',
      )
      .nullable()
      .default(null),
    required_acr: z.array(claimValue).default([]),
    required_amr: z.array(claimValue).default([]),
  })
  .refine(
    (one) => (one.client_secret_file === null) !== (one.private_key_file === null),
    'name either client_secret_file or private_key_file',
  )
  .refine(
    (one) => one.groups_claim !== null || (one.allowed_groups.length === 0 && one.administrators_group === null),
    'allowed_groups and administrators_group need groups_claim, the claim they are looked for in',
  )
  .refine((one) => one.scopes.includes('openid'), 'scopes must include openid');

export const signInSchema = z.strictObject({
  providers: z
    .array(upstreamSchema)
    .max(10)
    .refine((all) => new Set(all.map((one) => one.id)).size === all.length, 'two providers have the same id')
    .default([]),
});

export type UpstreamSettings = z.infer<typeof upstreamSchema>;
