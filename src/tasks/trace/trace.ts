import type { JsonObject } from '../../kernel/json.ts';
import type { ToolSelection } from '../../store/postgres/tables.ts';

/** Everything that happened for one task and whatever descends from it, in the order in which it was decided. */
export interface TaskTrace {
  readonly taskId: string;
  readonly requester: Named;
  readonly tasks: readonly TracedTask[];
  /** The tree of hops: each names the one above it, the first of a task comes first. */
  readonly delegations: readonly TracedDelegation[];
  readonly events: readonly TracedEvent[];
  /** Names of the people, agents, API tokens and tool servers that the events refer to by id, as they are now. */
  readonly names: Readonly<Record<string, string>>;
  /** Where the next page begins; null at the end. */
  readonly next: number | null;
}

export interface Named {
  readonly id: string;
  readonly name: string;
}

export interface TracedTask {
  readonly id: string;
  readonly parentId: string | null;
  readonly agentId: string;
  readonly purpose: string;
  readonly purposeCode: string;
  readonly state: 'active' | 'completed' | 'cancelled' | 'expired';
  readonly origin: string;
  readonly traceparent: string | null;
  readonly tools: ToolSelection;
  readonly budget: readonly { readonly what: string; readonly used: string; readonly maximum: string }[];
  readonly startedAt: Date;
  readonly expiresAt: Date;
  readonly endedAt: Date | null;
}

export interface TracedDelegation {
  readonly id: string;
  readonly taskId: string;
  readonly parentId: string | null;
  readonly kind: 'root' | 'exchange';
  readonly agent: Named;
  readonly owner: Named;
  readonly depth: number;
  readonly tools: ToolSelection | null;
  readonly constraints: readonly JsonObject[];
  readonly madeAt: Date;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
}

export interface TracedEvent {
  readonly id: number;
  /** In the sealed log; null for the fraction of a second before it is sealed. */
  readonly position: number | null;
  readonly at: Date;
  readonly kind: string;
  /** In plain words. */
  readonly what: string;
  /** Of the leaf of the log, as it was signed. */
  readonly ids: Readonly<Record<string, string | number | null>>;
}
