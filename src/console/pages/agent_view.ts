import type { PendingChange } from '../../agents/change.ts';
import type { AgentKeys } from '../../agents/find_agents.ts';
import type { AgentReview } from '../../agents/review.ts';
import type { AgentTerms } from '../../agents/terms.ts';
import type { Workload } from '../../agents/workloads.ts';
import type { AgentState } from '../agent_words.ts';
import type { TermChoices } from './agent_term_fields.ts';

type Named = { readonly id: string; readonly name: string };

/** Everything the page of an agent shows. */
export interface AgentView {
  readonly id: string;
  readonly kind: 'interactive' | 'service';
  readonly name: string;
  readonly purpose: string;
  readonly state: AgentState;
  readonly stateReason: string | null;
  readonly stateChangedAt: Date;
  readonly clientId: string;
  readonly createdAt: Date;
  readonly lastUsedAt: Date | null;
  readonly owner: Named & { readonly isActive: boolean };
  readonly deputy: (Named & { readonly isActive: boolean }) | null;
  readonly proposedBy: string | null;
  readonly approved: { readonly by: string; readonly at: Date } | null;
  readonly terms: AgentTerms;
  readonly pending: (PendingChange & { readonly byName: string }) | null;
  readonly keys: AgentKeys | null;
  readonly keysDueAt: Date | null;
  readonly reviewDueAt: Date | null;
  readonly reviewedAt: Date;
  readonly review: AgentReview;
  readonly workloads: readonly Workload[];
  /** Issuers whose tokens are trusted to say which workload runs. */
  readonly platforms: readonly string[];
  readonly ownerships: readonly {
    readonly person: string;
    readonly role: 'owner' | 'deputy';
    readonly since: Date;
    readonly until: Date | null;
  }[];
  readonly people: readonly Named[];
  /** Agents it can be paired with, for who may see them all. */
  readonly others: readonly Named[] | null;
  readonly choices: TermChoices;
  readonly toolServers: ReadonlyMap<string, string>;
  readonly csrf: string;
  readonly now: Date;
  readonly may: AgentRights;
}

/** What who looks at the page may do on it. */
export interface AgentRights {
  /** Take from it, ask for more, give it other keys, peers, people, stop it. */
  readonly govern: boolean;
  readonly isAdministrator: boolean;
  /** Approve the proposal, or the change that waits. */
  readonly approve: boolean;
  readonly approveChange: boolean;
  /** Take back or refuse a proposal. */
  readonly refuse: boolean;
}
