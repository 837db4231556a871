import type { JsonObject, JsonValue } from '../kernel/json.ts';
import type { StepUpState } from '../wire/guard_api.ts';

/** One gate as an approver reads it: why it is there, who may decide, how many are needed, who did. */
export interface GateView {
  readonly name: string;
  readonly why: string;
  /** In plain words: "the person the agent works for", "an administrator", "the group sre". */
  readonly approvers: readonly string[];
  readonly quorum: number;
  readonly approvedBy: readonly string[];
  readonly isMet: boolean;
}

export interface DecisionView {
  readonly person: string;
  readonly decision: 'approve' | 'deny';
  readonly reason: string | null;
  readonly decidedAt: Date;
}

/** Everything the approval page shows, taken from the canonical bytes that were digested. */
export interface StepUpView {
  readonly id: string;
  readonly revision: number;
  readonly state: StepUpState;
  readonly bindingDigest: string;
  readonly actionDigest: string;
  /** SHA-256 over this view model as decided: stored with each decision. */
  readonly viewDigest: string;
  readonly requester: { readonly id: string; readonly name: string };
  readonly agent: { readonly id: string; readonly name: string; readonly owner: string; readonly clientId: string };
  /** Everybody who handed the work on, the first agent first, the one that calls last. */
  readonly chain: readonly { readonly agent: string; readonly owner: string }[];
  /** In words, what those who handed it on demand of the arguments of this tool. */
  readonly conditions: readonly string[];
  readonly task: {
    readonly id: string;
    readonly purpose: string;
    /** Whose words the purpose is: a service agent writes its own, which nobody checked. */
    readonly purposeBy: 'person' | 'agent';
    readonly startedAt: Date;
    readonly expiresAt: Date;
  };
  readonly toolServer: {
    readonly id: string;
    readonly name: string;
    readonly resource: string;
    readonly deployment: string;
  };
  readonly tool: {
    readonly name: string;
    readonly risk: string;
    readonly title: string | null;
    readonly description: string;
    /** In the order the tool's schema declares them. */
    readonly argumentNames: readonly string[];
  };
  readonly method: string;
  /** The arguments in full; null after retention destroyed them. */
  readonly arguments: JsonObject | null;
  readonly inputResponses: JsonValue;
  readonly facts: JsonObject;
  readonly gates: readonly GateView[];
  readonly decisions: readonly DecisionView[];
  readonly tier: 'standard' | 'passkey' | 'critical';
  readonly grantSeconds: number;
  readonly grantUses: number;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly decidedAt: Date | null;
  readonly reason: string | null;
  /** What became of the grant: null before approval. */
  readonly grant: {
    readonly expiresAt: Date;
    readonly uses: number;
    readonly maxUses: number;
    readonly revoked: boolean;
  } | null;
  readonly outcome: { readonly state: 'unknown' | 'done' | 'failed'; readonly redeemedAt: Date } | null;
  /** The same action was carried out before (after the replay window): when and how it ended. */
  readonly earlier: { readonly startedAt: Date; readonly outcome: string } | null;
  /** About the person who looks at the page. */
  readonly viewer: {
    readonly mayDecide: boolean;
    /** Why not, in words for them, when they may not. */
    readonly whyNot: string | null;
    readonly needsPasskey: boolean;
    readonly hasDecided: boolean;
  };
}

export interface StepUpSummary {
  readonly id: string;
  /** To tell requests apart in a list; null after retention destroyed them. */
  readonly arguments: JsonObject | null;
  readonly state: StepUpState;
  readonly agentName: string;
  readonly requesterName: string;
  readonly toolName: string;
  readonly toolServerName: string;
  readonly purpose: string;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly mayDecide: boolean;
}
