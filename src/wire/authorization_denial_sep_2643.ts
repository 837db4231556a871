// MCP SEP-2643 "Structured Authorization Denials", open draft as of 2026-08-21
// (github.com/modelcontextprotocol/modelcontextprotocol/pull/2643). Clients that do not know it ignore it.

import type { JsonObject } from '../kernel/json.ts';

export const AUTHORIZATION_DENIAL_KEY = 'io.modelcontextprotocol/authorization';

/**
 * How the client can come by the authorization: at an address a person opens, by waiting for a task, or by asking for
 * another credential. `url` and `taskId` repeat what the result around the envelope says, for results that cannot.
 */
export type RemediationHint =
  | { readonly type: 'url'; readonly url?: string }
  | { readonly type: 'task'; readonly taskId?: string }
  | { readonly type: 'authorization_remediation'; readonly [name: string]: string | JsonObject };

export interface AuthorizationDenial {
  readonly reason: 'insufficient_authorization';
  /** `undisclosed` where saying whether there is a way would tell too much. */
  readonly remediation: 'available' | 'unavailable' | 'undisclosed';
  /** Connects retries with this denial. It is correlation only and gives nothing to who holds it. */
  readonly authorizationContextId?: string;
  readonly remediationHints?: readonly RemediationHint[];
}

export interface DenialDescription {
  readonly remediation: AuthorizationDenial['remediation'];
  readonly contextId?: string;
  readonly hints?: readonly RemediationHint[];
}

/** The `_meta` members of a denial, to be spread beside other `_meta` of a result or of an error's data. */
export function authorizationDenialMeta(described: DenialDescription): {
  readonly [AUTHORIZATION_DENIAL_KEY]: AuthorizationDenial;
} {
  // Hints about a way that does not exist, or that is not to be told, would contradict the envelope.
  const hints = described.remediation === 'available' ? (described.hints ?? []) : [];
  return {
    [AUTHORIZATION_DENIAL_KEY]: {
      reason: 'insufficient_authorization',
      remediation: described.remediation,
      ...(described.contextId === undefined ? {} : { authorizationContextId: described.contextId }),
      ...(hints.length === 0 ? {} : { remediationHints: hints }),
    },
  };
}
