import type { FollowedEvent } from '../../events/follow.ts';
import { EVENT_KINDS, type EventKind } from '../../events/kinds.ts';
import { type Circumstances, type CredentialChange, credentialChange, sessionRevoked } from '../../wire/caep_1_0.ts';
import type { SecurityEvent } from '../../wire/set_rfc8417.ts';
import { issSubOf, opaqueOf, type Subject } from '../../wire/subject_identifiers_rfc9493.ts';

type Ids = FollowedEvent['ids'];

/** What an event of ours means to somebody outside, and the member of `ids` without which it means nothing. */
interface Meaning {
  readonly names: string;
  readonly subject: (ids: Ids, issuer: string) => Subject;
  /** Undefined for the end of a session. */
  readonly credential?: (ids: Ids) => CredentialChange;
}

// People and agents are named as in our tokens: `sub`, and the `sub` of an actor. A task is `task.id` in them.
const person = (ids: Ids, issuer: string) => issSubOf(issuer, String(ids.person));
const agent = (ids: Ids, issuer: string) => issSubOf(issuer, String(ids.agent));

const ofPerson = (credential?: Meaning['credential']): Meaning => ({
  names: 'person',
  subject: person,
  ...(credential === undefined ? {} : { credential }),
});
const ofAgent = (credential?: Meaning['credential']): Meaning => ({
  names: 'agent',
  subject: (ids, issuer) => ({ format: 'complex', application: agent(ids, issuer) }),
  ...(credential === undefined ? {} : { credential }),
});
const ofSession = (member: 'task' | 'delegation' | 'session'): Meaning => ({
  names: member,
  subject: (ids, issuer) => ({
    format: 'complex',
    session: opaqueOf(String(ids[member])),
    ...(isNamed(ids.person) ? { user: person(ids, issuer) } : {}),
    ...(isNamed(ids.agent) ? { application: agent(ids, issuer) } : {}),
  }),
});
const change = (credentialType: CredentialChange['credentialType'], changeType: CredentialChange['changeType']) => {
  return () => ({ credentialType, changeType });
};
const passkey = (changeType: CredentialChange['changeType']) => (ids: Ids) => ({
  // A passkey that is synchronized lives on a platform; of the others most are keys that are carried around.
  credentialType: ids.device_type === 'multiDevice' ? ('fido2-platform' as const) : ('fido2-roaming' as const),
  changeType,
});

const MEANINGS: Partial<Record<EventKind, Meaning>> = {
  'session.ended': ofSession('session'),
  'person.disabled': ofPerson(),
  'person.deleted': ofPerson(),
  'agent.suspended': ofAgent(),
  'agent.offboarded': ofAgent(),
  'task.ended': ofSession('task'),
  // The whole family ends with its task.
  'token.reused': ofSession('task'),
  'delegation.revoked': ofSession('delegation'),
  'passkey.added': ofPerson(passkey('create')),
  'passkey.removed': ofPerson(passkey('delete')),
  'identity.linked': ofPerson(change('federated', 'create')),
  'agent.keys_changed': ofAgent(change('private-key-jwt', 'update')),
  'workload.added': ofAgent(change('workload', 'create')),
  'workload.removed': ofAgent(change('workload', 'delete')),
};

/** The kinds of event that are told to anybody. */
export const SIGNALLED_KINDS = Object.keys(MEANINGS) as EventKind[];

/** What receivers are told of an event; null for one that means nothing to them. Never a name or a person's words. */
export function securityEventOf(event: FollowedEvent, issuer: string): SecurityEvent | null {
  const meaning = MEANINGS[event.kind as EventKind];
  if (meaning === undefined || !isNamed(event.ids[meaning.names])) return null;
  const subject = meaning.subject(event.ids, issuer);
  const circumstances: Circumstances = {
    at: event.at,
    initiatingEntity: initiatorOf(event.ids),
    reason: EVENT_KINDS[event.kind as EventKind],
  };
  return meaning.credential === undefined
    ? sessionRevoked(subject, circumstances)
    : credentialChange(subject, meaning.credential(event.ids), circumstances);
}

/** Who caused it (CAEP 1.0 §2). An event without `by` is about what a person did with what is theirs. */
function initiatorOf(ids: Ids): Circumstances['initiatingEntity'] {
  if (!isNamed(ids.by)) return isNamed(ids.person) ? 'user' : 'system';
  if (ids.by === ids.person) return 'user';
  // Ids say what they name: people, and machines that administer.
  return /^(prs|apt)_/.test(String(ids.by)) ? 'admin' : 'system';
}

function isNamed(id: string | number | null | undefined): boolean {
  return id !== undefined && id !== null && id !== '';
}
