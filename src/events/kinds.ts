/**
 * Every kind of event, once, in the words the audit page shows. A kind is `noun.past_tense`; a new one gets a line here.
 * An event's `ids` hold identifiers, counts and closed words only: they are signed for ever. Names and free text go
 * into `personal`, which can be erased.
 */
export const EVENT_KINDS = {
  // People
  'person.created': 'A person was added',
  'person.disabled': 'A person was disabled',
  'session.started': 'A person signed in',
  'session.ended': 'A person signed out',
  'link.made': 'A sign-in, set-up or invitation link was made',
  'link.used': 'A link was used',
  'passkey.added': 'A passkey was added',
  'passkey.renamed': 'A passkey was renamed',
  'passkey.removed': 'A passkey was removed',
  'passkey.refused': 'A passkey was refused: it may have been copied',
  // Agents and clients
  'client.registered': 'An OAuth client was registered',
  'client.lane_recorded': 'How a client behaves when challenged was recorded',
  'agent.created': 'An agent was added',
  'agent.activated': 'An agent was activated',
  'agent.suspended': 'An agent was suspended',
  'agent.offboarded': 'An agent was offboarded',
  // Tool servers
  'tool_server.proposed': 'A tool server asked to be registered',
  'tool_server.accepted': 'A tool server was accepted',
  'tool_server.rejected': 'A tool server was rejected',
  'tool_server.suspended': 'A tool server was suspended',
  'tool_server.tools_changed': 'Tools of a tool server differ from what was accepted',
  'tool.accepted': 'A tool was accepted as of a class of risk',
  'tool_server.tools_accepted': 'Changed tools of a tool server were accepted',
  // Tasks and tokens
  'consent.given': 'A person let an agent work for them',
  'consent.refused': 'A person did not let an agent work for them',
  'task.started': 'A task started',
  'task.ended': 'A task ended',
  'delegation.made': 'Work was delegated',
  'delegation.revoked': 'A delegation was revoked',
  'token.issued': 'A token was issued',
  'token.revoked': 'A token was revoked',
  'token.reused': 'A spent code or refresh token came back, and its family was revoked',
  // Step-ups
  'step_up.registered': 'A guard described a call that needs approval',
  'step_up.opened': 'A call waits for approval',
  'step_up.approved': 'A call was approved',
  'step_up.denied': 'A call was refused by a person',
  'step_up.expired': 'Nobody decided in time',
  'step_up.withdrawn': 'A request for approval was withdrawn',
  'decision.made': 'A person decided',
  'grant.made': 'A grant was made',
  'grant.redeemed': 'A grant was redeemed',
  'grant.revoked': 'A grant was revoked',
  'grant.refused': 'A guard tried to use a grant that was not there, used or expired',
  'outcome.recorded': 'The outcome of a call was recorded',
  'call.permitted': 'A call was permitted by policy',
  'call.denied': 'A call was denied',
  // The server
  'policy.activated': 'A policy came into force',
  'key.made': 'A key was made',
  'key.activated': 'A key signs earlier than planned',
  'key.retired': 'A key was retired',
  'key.revoked': 'A key was revoked',
  'log.pruned': 'Exported events older than their retention were deleted',
  'records.pruned': 'Records older than their retention were deleted',
} as const satisfies Record<string, string>;

export type EventKind = keyof typeof EVENT_KINDS;
