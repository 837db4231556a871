import { z } from 'zod';
import type { JsonObject } from '../kernel/json.ts';
import { CREDENTIAL_CHANGE, SESSION_REVOKED } from './caep_1_0.ts';
import {
  AUTHORIZATION_HEADER_CHARACTERS_MAX,
  EVENT_TYPES_REQUESTED_MAX,
  IDENTIFIER_CHARACTERS_MAX,
  REASON_CHARACTERS_MAX,
  STREAM_DESCRIPTION_CHARACTERS_MAX,
  URL_CHARACTERS_MAX,
  VERIFICATION_STATE_CHARACTERS_MAX,
} from './limits.ts';
import type { SecurityEvent } from './set_rfc8417.ts';
import { opaqueOf } from './subject_identifiers_rfc9493.ts';

// OpenID Shared Signals Framework Specification 1.0, final (29 August 2025).

const VERIFICATION = 'https://schemas.openid.net/secevent/ssf/event-type/verification';

/** What a receiver can ask for. Verification comes when it is asked for, whatever else was (§8.1.4). */
export const EVENTS_SUPPORTED: readonly string[] = [SESSION_REVOKED, CREDENTIAL_CHANGE];

/** §6.1 */
export const PUSH_METHOD = 'urn:ietf:rfc:8935';
export const POLL_METHOD = 'urn:ietf:rfc:8936';

const API = '/api/v1/signals';
export const SSF_PATHS = {
  configuration: `${API}/streams`,
  status: `${API}/status`,
  verification: `${API}/verification`,
  poll: (streamId: string) => `${API}/streams/${streamId}/poll`,
  /** Where transmitters that we listen to push to. */
  events: `${API}/events`,
} as const;

const WELL_KNOWN = '/.well-known/ssf-configuration';

/** §7.2: the well-known part stands before the path of the issuer. */
export function transmitterMetadataPath(issuer: string): string {
  const { pathname } = new URL(issuer);
  return `${WELL_KNOWN}${pathname.replace(/\/$/, '')}`;
}

/** §7.1. Receivers authenticate by API tokens in the Authorization header, as RFC 6750 has them. */
export function transmitterMetadata(issuer: string): JsonObject {
  return {
    spec_version: '1_0',
    issuer,
    jwks_uri: `${issuer}/jwks`,
    delivery_methods_supported: [PUSH_METHOD, POLL_METHOD],
    configuration_endpoint: `${issuer}${SSF_PATHS.configuration}`,
    status_endpoint: `${issuer}${SSF_PATHS.status}`,
    verification_endpoint: `${issuer}${SSF_PATHS.verification}`,
    authorization_schemes: [{ spec_urn: 'urn:ietf:rfc:6750' }],
    default_subjects: 'ALL',
  };
}

const streamId = z.string().min(1).max(IDENTIFIER_CHARACTERS_MAX);
const url = z.string().min(1).max(URL_CHARACTERS_MAX);

const delivery = z.discriminatedUnion('method', [
  z.object({
    method: z.literal(PUSH_METHOD),
    endpoint_url: url,
    // What a header field can carry (RFC 9110 §5.5).
    authorization_header: z
      .string()
      .max(AUTHORIZATION_HEADER_CHARACTERS_MAX)
      .regex(/^[\x21-\x7e]+( [\x21-\x7e]+)*$/, 'it is no value of a header')
      .nullish(),
  }),
  z.object({ method: z.literal(POLL_METHOD), endpoint_url: url.nullish() }),
]);
export type StreamDelivery = z.infer<typeof delivery>;

const receiverSupplied = {
  events_requested: z.array(url).max(EVENT_TYPES_REQUESTED_MAX).optional(),
  delivery: delivery.optional(),
  description: z.string().max(STREAM_DESCRIPTION_CHARACTERS_MAX).nullish(),
};
/** §8.1.1.3: may come along, and must be what we have then. */
const transmitterSupplied = {
  iss: z.string().optional(),
  aud: z.union([z.string(), z.array(z.string())]).optional(),
  events_supported: z.array(z.string()).optional(),
  events_delivered: z.array(z.string()).optional(),
  min_verification_interval: z.number().optional(),
};

/** §8.1.1.1. Members we do not know are ignored. */
export const createStreamSchema = z.object(receiverSupplied);
/** §8.1.1.3 (PATCH) and §8.1.1.4 (PUT). */
export const changeStreamSchema = z.object({ stream_id: streamId, ...receiverSupplied, ...transmitterSupplied });
export type StreamChange = z.infer<typeof changeStreamSchema>;

/** §8.1.2.2 */
export const changeStatusSchema = z.object({
  stream_id: streamId,
  status: z.enum(['enabled', 'paused', 'disabled']),
  reason: z.string().max(REASON_CHARACTERS_MAX).nullish(),
});

/** §8.1.4.2 */
export const verificationRequestSchema = z.object({
  stream_id: streamId,
  state: z.string().max(VERIFICATION_STATE_CHARACTERS_MAX).optional(),
});

/** §8.1.4.1: its subject is the stream. */
export function verificationEvent(stream: string, state: string | undefined): SecurityEvent {
  return { type: VERIFICATION, subject: opaqueOf(stream), claims: state === undefined ? {} : { state } };
}
