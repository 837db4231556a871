import { expect, test } from 'vitest';
import type { FollowedEvent } from '../../src/events/follow.ts';
import type { EventKind } from '../../src/events/kinds.ts';
import { SIGNALLED_KINDS, securityEventOf } from '../../src/signals/transmit/event_claims.ts';

const ISSUER = 'https://approve.example';
const at = new Date('2026-11-23T10:00:00Z');
const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/';

function told(kind: EventKind, ids: FollowedEvent['ids']) {
  return securityEventOf({ position: 1, kind, ids, at }, ISSUER);
}

const subjectOf = (sub: string) => ({ format: 'iss_sub', iss: ISSUER, sub });

test('people are named as in tokens, and a passkey by what it is', () => {
  const ids = { person: 'prs_a', passkey: 'x', device_type: 'multiDevice' };
  expect(told('passkey.added', ids)).toEqual({
    type: `${CAEP}credential-change`,
    subject: subjectOf('prs_a'),
    claims: {
      credential_type: 'fido2-platform',
      change_type: 'create',
      event_timestamp: 1795428000,
      initiating_entity: 'user',
      reason_admin: { en: 'A passkey was added' },
    },
  });
  expect(told('passkey.removed', { ...ids, device_type: 'singleDevice' })!.claims).toMatchObject({
    credential_type: 'fido2-roaming',
    change_type: 'delete',
  });
});

test.each([
  ['person.disabled', { person: 'prs_a', by: 'prs_b' }, subjectOf('prs_a'), 'admin'],
  ['person.deleted', { person: 'prs_a', by: 'apt_b', by_kind: 'api_token' }, subjectOf('prs_a'), 'admin'],
  [
    'agent.suspended',
    { agent: 'agt_a', by: 'server', by_kind: 'server' },
    { format: 'complex', application: subjectOf('agt_a') },
    'system',
  ],
  [
    'agent.offboarded',
    { agent: 'agt_a', by: 'prs_b' },
    { format: 'complex', application: subjectOf('agt_a') },
    'admin',
  ],
  [
    'task.ended',
    { task: 'tsk_a', by: 'agt_b' },
    { format: 'complex', session: { format: 'opaque', id: 'tsk_a' } },
    'system',
  ],
  [
    'token.reused',
    { task: 'tsk_a', client: 'x' },
    { format: 'complex', session: { format: 'opaque', id: 'tsk_a' } },
    'system',
  ],
  [
    'delegation.revoked',
    { delegation: 'dlg_a', task: 'tsk_a', agent: 'agt_a', by: 'prs_b' },
    { format: 'complex', session: { format: 'opaque', id: 'dlg_a' }, application: subjectOf('agt_a') },
    'admin',
  ],
  [
    'session.ended',
    { person: 'prs_a', session: 'hash', reason: 'signed_out' },
    { format: 'complex', session: { format: 'opaque', id: 'hash' }, user: subjectOf('prs_a') },
    'user',
  ],
] as const)('%s is the end of a session', (kind, ids, subject, initiating_entity) => {
  expect(told(kind, ids)).toMatchObject({
    type: `${CAEP}session-revoked`,
    subject,
    claims: { event_timestamp: 1795428000, initiating_entity },
  });
});

test('an event that does not name what it is about, or is nobody else’s business, is told to nobody', () => {
  expect(told('task.ended', {})).toBeNull();
  expect(told('call.denied', { task: 'tsk_a' })).toBeNull();
  expect(SIGNALLED_KINDS).not.toContain('signal.received');
});
