import type { JsonObject } from '../kernel/json.ts';
import type { SecurityEvent } from './set_rfc8417.ts';
import type { Subject } from './subject_identifiers_rfc9493.ts';

// OpenID Continuous Access Evaluation Profile 1.0, final (29 August 2025).

const BASE = 'https://schemas.openid.net/secevent/caep/event-type/';
export const SESSION_REVOKED = `${BASE}session-revoked`;
export const CREDENTIAL_CHANGE = `${BASE}credential-change`;

/** §2: claims that every event may have. */
export interface Circumstances {
  readonly at: Date;
  readonly initiatingEntity: 'admin' | 'user' | 'policy' | 'system';
  /** For the log of whoever administers the receiver: no personal data. */
  readonly reason: string;
}

/** §3.1: no event-specific claims. */
export function sessionRevoked(subject: Subject, circumstances: Circumstances): SecurityEvent {
  return { type: SESSION_REVOKED, subject, claims: circumstancesClaims(circumstances) };
}

/** §3.3. Types beside those of the profile are for keys of clients, which it has no word for. */
export interface CredentialChange {
  readonly credentialType: 'fido2-platform' | 'fido2-roaming' | 'private-key-jwt' | 'workload' | 'federated';
  readonly changeType: 'create' | 'revoke' | 'update' | 'delete';
}

export function credentialChange(
  subject: Subject,
  change: CredentialChange,
  circumstances: Circumstances,
): SecurityEvent {
  const { credentialType, changeType } = change;
  const claims = { credential_type: credentialType, change_type: changeType, ...circumstancesClaims(circumstances) };
  return { type: CREDENTIAL_CHANGE, subject, claims };
}

function circumstancesClaims({ at, initiatingEntity, reason }: Circumstances): JsonObject {
  return {
    event_timestamp: Math.floor(at.getTime() / 1000),
    initiating_entity: initiatingEntity,
    reason_admin: { en: reason },
  };
}

/** When the thing happened that an event tells of, if it says so. */
export function eventTimestamp(claims: Readonly<Record<string, unknown>>): Date | undefined {
  const seconds = claims.event_timestamp;
  return typeof seconds === 'number' && seconds >= 0 && seconds < 1e11 ? new Date(seconds * 1000) : undefined;
}
