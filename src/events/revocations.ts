import type { Revocation, Revoked } from '../wire/lease.ts';
import type { FollowedEvent } from './follow.ts';
import type { EventKind } from './kinds.ts';

/** What a guard must hear of each kind: the word for it and the member of `ids` that names it. */
const REVOKING: Partial<Record<EventKind, readonly (readonly [what: Revoked, id: string])[]>> = {
  'token.revoked': [['token', 'token']],
  // The whole family ends with its task.
  'token.reused': [['task', 'task']],
  'task.ended': [['task', 'task']],
  'delegation.revoked': [['delegation', 'delegation']],
  'agent.suspended': [['agent', 'agent']],
  'agent.offboarded': [['agent', 'agent']],
  'person.disabled': [['person', 'person']],
  'person.deleted': [['person', 'person']],
  'tool_server.suspended': [['tool_server', 'tool_server']],
  'key.revoked': [['key', 'kid']],
  'key.made': [['keys', 'kid']],
  'key.activated': [['keys', 'kid']],
  // It verifies what it signed until that has ended.
  'key.retired': [['keys', 'kid']],
  'policy.activated': [['policy', 'serial']],
  'grant.revoked': [['grant', 'grant']],
};

/** The kinds of event that guards must hear of. */
export const REVOKING_KINDS = Object.keys(REVOKING) as EventKind[];

/** What guards must hear of an event. One that does not name what it is about tells them to forget everything. */
export function revocationsOf(event: FollowedEvent): Revocation[] {
  // Its tokens ended no later than it did, so guards have nothing to refuse.
  if (event.kind === 'task.ended' && event.ids.how === 'expired') return [];
  if (isCovered(event.ids)) return [];
  const at = event.at.getTime() / 1000;
  const named = REVOKING[event.kind as EventKind] ?? [];
  return named.flatMap(([what, member]) => {
    // The key of the checkpoints is named in its own way.
    const id = event.ids[member] ?? (member === 'kid' ? event.ids.key : undefined);
    if (id !== undefined && id !== null) return [{ what, id: String(id), at }];
    // The second name is for those that have one.
    return what === named[0]![0] ? [{ what: 'unknown', id: event.kind, at }] : [];
  });
}

/**
 * Whether the event of an ancestor says it all: what ended `with` an agent or a person names it in its tokens, and so does a
 * task its root. A thousand descendants would otherwise crowd out of a lease what matters.
 */
function isCovered(ids: FollowedEvent['ids']): boolean {
  const { with: ancestor, root } = ids;
  return typeof ancestor === 'string' && (/^(agt|prs)_/.test(ancestor) || ancestor === root);
}

/** In this order they are left out where there is no room: the first mean nothing to what a guard remembers. */
const NARROW: readonly string[] = ['grant', 'token', 'task'];

/** As many as a lease has room for: of what touches least the oldest are left out, never an agent before a token. */
export function weightiest(revocations: readonly Revocation[], max: number): readonly Revocation[] {
  let kept = revocations;
  for (const what of NARROW) {
    let surplus = kept.length - max;
    if (surplus <= 0) break;
    kept = kept.filter((one) => {
      if (one.what !== what || surplus <= 0) return true;
      surplus -= 1;
      return false;
    });
  }
  return kept.slice(-max);
}

/** Whether the keys of this installation changed. */
export function changesKeys(event: FollowedEvent): boolean {
  return event.kind.startsWith('key.');
}
