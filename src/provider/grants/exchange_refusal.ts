import { sql } from 'kysely';
import { errors } from 'oidc-provider';
import { record } from '../../events/record.ts';
import type { Store } from '../../store/store.ts';
import type { DelegationReason, DelegationRefusal } from '../../tasks/delegation_refusal.ts';

/** What is known of a refused exchange when it is refused; nothing of it is taken from a token that was not verified. */
export interface RefusedExchange {
  readonly client: string;
  /** The agent that asked, and the one whose work it was. */
  agent: string | null;
  fromAgent: string | null;
  task: string | null;
  delegation: string | null;
  subjectToken: string | null;
}

/** Records why work was not handed on, for the operator, and makes the error that the client gets. */
export async function refuseExchange(
  store: Store,
  known: RefusedExchange,
  { reason, message }: DelegationRefusal,
): Promise<errors.OIDCProviderError> {
  const { rows } = await sql<{ at: Date }>`select clock_timestamp() as at`.execute(store.db);
  const ids = {
    code: reason,
    client: known.client,
    agent: known.agent,
    from_agent: known.fromAgent,
    task: known.task,
    delegation: known.delegation,
    token: known.subjectToken,
  };
  await record(store, { kind: 'delegation.refused', ids }, rows[0]!.at);
  return oauthError(reason, message);
}

/** RFC 8693 §2.2.2: tokens that are no good, or not good enough, are an `invalid_request`, targets an `invalid_target`. */
function oauthError(reason: DelegationReason, message: string): errors.OIDCProviderError {
  switch (reason) {
    case 'request_malformed':
    case 'subject_invalid':
    case 'subject_elevated':
    case 'subject_ended':
    case 'actor_invalid':
    case 'actor_foreign':
    case 'actor_not_bound':
    case 'taker_inactive':
    case 'too_deep':
    case 'looped':
    case 'chain_too_long':
    case 'too_many':
      return new errors.InvalidRequest(message);
    case 'not_paired':
    case 'resource_unknown':
    case 'resource_outside':
    case 'peer_not_approved':
    case 'policy_denied':
      return new errors.InvalidTarget(message);
    case 'tool_outside':
    case 'constraint_outside':
    case 'too_many_constraints':
      return new errors.InvalidAuthorizationDetails(message);
    case 'scope_outside':
      return new errors.InvalidScope(message, '');
    case 'key_not_proven':
      return Object.assign(new errors.InvalidDpopProof(message), { error_description: message });
    case 'policy_unavailable':
    case 'ownership_changed':
      return new errors.TemporarilyUnavailable(message);
  }
}
