import type { Generated } from 'kysely';
import type { JsonObject } from '../../../kernel/json.ts';
import type { Json, Stamped } from './columns.ts';

export interface StepUpsTable {
  id: string;
  txn: string;
  state: 'registered' | 'open' | 'approved' | 'denied' | 'expired' | 'withdrawn';
  revision: number;
  binding_digest: string;
  action_digest: string;
  requester_id: string;
  agent_id: string;
  task_id: string;
  delegation_id: string;
  client_id: string;
  tool_server_id: string;
  tool_name: string;
  risk: string;
  policy_version: string;
  requirements: Json<JsonObject>;
  /** JCS of the action, encrypted under this step-up's own data key, which is destroyed at retention. */
  action_sealed: Buffer | null;
  data_key_wrapped: Buffer | null;
  challenge: string | null;
  guard_instance: string;
  reason: string | null;
  created_at: Stamped;
  opened_at: Date | null;
  expires_at: Date;
  decided_at: Date | null;
}

export interface DecisionsTable {
  id: string;
  step_up_id: string;
  revision: number;
  person_id: string;
  decision: 'approve' | 'deny';
  binding_digest: string;
  view_digest: string;
  reason: string | null;
  amr: Json<readonly string[]>;
  decided_at: Stamped;
  /** Who made it was offboarded before it was used: it does not count any more, also if they come back. */
  voided_at: Generated<Date | null>;
}

export interface GrantsTable {
  id: string;
  step_up_id: string;
  binding_digest: string;
  gates: Json<readonly string[]>;
  max_uses: number;
  uses: Generated<number>;
  created_at: Stamped;
  expires_at: Date;
  revoked_at: Date | null;
}

export interface RedemptionsTable {
  id: string;
  grant_id: string;
  step_up_id: string;
  binding_digest: string;
  use_no: number;
  attempt_id: string;
  guard_instance: string;
  redeemed_at: Stamped;
  outcome: Generated<'unknown' | 'done' | 'failed'>;
  outcome_sealed: Buffer | null;
  outcome_at: Date | null;
}
