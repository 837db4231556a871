import type { Generated } from 'kysely';
import type { Json, Stamped } from './columns.ts';

/** What is to be told to somebody outside; written in the transaction that decided so. */
export interface OutboxTable {
  id: string;
  channel: string;
  kind: string;
  subject_id: string;
  state: Generated<'waiting' | 'sent' | 'failed' | 'dropped'>;
  attempts: Generated<number>;
  created_at: Stamped;
  due_at: Stamped;
  /** A process is sending it, until then: nobody else takes it. */
  leased_until: Date | null;
  finished_at: Date | null;
  last_error: string | null;
}

/** A receiver asked to be left alone; every process keeps to it. */
export interface OutboxPausesTable {
  channel: string;
  until: Date;
}

/** Whom security events are told to (OpenID Shared Signals Framework 1.0). */
export interface SignalStreamsTable {
  id: string;
  /** The name of the API tokens that manage it, and the audience of its events: a token can change, the receiver stays. */
  receiver: string;
  description: string | null;
  method: 'push' | 'poll';
  /** Where events are pushed to; null for those that poll. */
  endpoint: string | null;
  /** The Authorization header the receiver asked for, sealed. */
  authorization_sealed: Buffer | null;
  events_requested: Json<readonly string[]>;
  status: Generated<'enabled' | 'paused' | 'disabled'>;
  status_reason: string | null;
  /** Events of the log below this position were turned into messages. */
  position: number;
  /** Grows with each process that begins to push: what an earlier one has to record counts no more. */
  lease_number: Generated<number>;
  leased_until: Generated<Date | null>;
  /** Nothing is pushed before. */
  retry_at: Stamped;
  /** Attempts since the last one that succeeded. */
  failures: Generated<number>;
  failing_since: Generated<Date | null>;
  last_error: Generated<string | null>;
  last_delivered_at: Generated<Date | null>;
  created_at: Stamped;
  updated_at: Stamped;
}

/** A security event on its way; it is deleted once the receiver has it, and signed anew with every attempt. */
export interface SignalMessagesTable {
  jti: string;
  stream_id: string;
  /** The order in which the receiver gets them. */
  sequence_number: Generated<number>;
  /** The claims of the security event token, as canonical JSON. */
  claims: string;
  /** `failed`: given up, until somebody asks for another attempt. */
  state: Generated<'waiting' | 'failed'>;
  attempts: Generated<number>;
  /** How often the receiver refused this very message. */
  refusals: Generated<number>;
  created_at: Stamped;
  last_error: Generated<string | null>;
}

/** A security event of another transmitter that was acted on, so that it is acted on once. */
export interface ReceivedSignalsTable {
  issuer: string;
  jti: string;
  received_at: Stamped;
}

/** The bit of a token in the Token Status List, while the token may be alive. */
export interface TokenStatusesTable {
  jti: string;
  status_index: number;
  delegation_id: string | null;
  issued_at: Date;
  expires_at: Date;
}
