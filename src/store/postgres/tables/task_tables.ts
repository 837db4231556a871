import type { ColumnType, Generated } from 'kysely';
import type { JsonObject } from '../../../kernel/json.ts';
import type { ToolSelection } from './agent_tables.ts';
import type { Json, Stamped } from './columns.ts';

export interface TasksTable {
  id: string;
  root_id: string;
  parent_id: string | null;
  requester_id: string;
  agent_id: string;
  client_id: string;
  purpose: string;
  purpose_code: string;
  tools: Json<ToolSelection>;
  state: 'active' | 'completed' | 'cancelled' | 'expired';
  /** The oidc-provider Grant that carries its refresh family; null for service agents. */
  oauth_grant_id: string | null;
  /** The idempotency key it was started with, hashed, and the digest of that request; null if there was none. */
  start_key: Generated<string | null>;
  start_digest: Generated<string | null>;
  template_id: Generated<string | null>;
  origin: Generated<'consent' | 'api' | 'template' | 'sub_task' | 'identity_assertion'>;
  /** W3C Trace Context of the request that started it. */
  traceparent: Generated<string | null>;
  created_at: Stamped;
  expires_at: Date;
  ended_at: Date | null;
}

/** Approved in advance: its agent starts such a task again and again, without asking. */
export interface TaskTemplatesTable {
  id: string;
  name: string;
  agent_id: string;
  requester_id: string;
  purpose: string;
  purpose_code: string;
  tools: Json<ToolSelection>;
  budget: Json<JsonObject> | null;
  seconds: number;
  state: 'pending' | 'active' | 'retired';
  /** Who answers for the proposal: who made the API token, or owns the agent; null for a token of the command line. */
  proposed_by: string | null;
  approved_by: string | null;
  created_at: Stamped;
  approved_at: Date | null;
  ends_at: Date | null;
}

/** `what` is `calls`, `step_ups`, `elevated_grants`, or `amount <tool server id> <tool, percent-encoded> <JSON pointer>`. */
export interface TaskBudgetsTable {
  task_id: string;
  what: string;
  /** Decimals, as text: amounts are never binary fractions. */
  maximum: string;
  used: ColumnType<string, string | undefined, string>;
}

/**
 * `root` begins a task; `exchange` is a hop within it. The chains are fixed when the row is made, root first and this one
 * last; a row of a release before 0.2 has empty ones and stands alone (`lineage.ts`).
 */
export interface DelegationsTable {
  id: string;
  task_id: string;
  parent_id: string | null;
  agent_id: string;
  depth: number;
  kind: Generated<'root' | 'exchange'>;
  agent_chain: Generated<string[]>;
  task_chain: Generated<string[]>;
  delegation_chain: Generated<string[]>;
  /** What of the task's tools this hop includes; null means all. */
  tools: ColumnType<ToolSelection | null, string | null | undefined, string | null>;
  /** What arguments must be like, those of every hop above included; null means anything. */
  constraints: ColumnType<readonly JsonObject[] | null, string | null | undefined, string | null>;
  /** Its own end; null means the task's. */
  expires_at: Generated<Date | null>;
  /** Thumbprint of the key that its tokens are bound to, if they are (RFC 9449). */
  confirmation_jkt: Generated<string | null>;
  /** Digest of what it hands on, by which an exchange that comes again finds it; null for those that begin a task. */
  content_digest: Generated<string | null>;
  created_at: Stamped;
  revoked_at: Date | null;
}
