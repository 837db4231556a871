/** What the consent page shows before a task starts for an interactive client. */
export interface ConsentView {
  readonly uid: string;
  readonly client: {
    readonly id: string;
    readonly name: string;
    /** Host of the client's metadata document; null for a client registered here. */
    readonly host: string | null;
    readonly redirectHost: string;
    /** The redirect stays on this computer (loopback): any program here could receive the answer. */
    readonly isLoopback: boolean;
  };
  readonly toolServer: { readonly id: string; readonly name: string; readonly resource: string };
  readonly tools: readonly {
    readonly name: string;
    readonly title: string | null;
    readonly description: string;
    readonly risk: 'read' | 'write' | 'critical';
  }[];
  readonly suggestedPurpose: string;
  /** What the client says of the task it wants (RFC 9396): shown as its words, and nothing is decided from it. */
  readonly said: { readonly purpose: string | null; readonly purposeLabel: string | null } | null;
  /** What the person may limit; the client may suggest how far. */
  readonly budget: readonly {
    /** As records name it (`model/budget.ts`). */
    readonly what: string;
    /** Of the form, after `budget:`. Names of tools stay out of it: browsers change some characters. */
    readonly field: string;
    readonly suggested: string | null;
  }[];
  readonly purposeCodes: readonly { readonly code: string; readonly label: string }[];
  /** Choices for how long, in seconds, and which is preselected. */
  readonly durations: readonly number[];
  readonly durationDefault: number;
  readonly person: { readonly name: string };
  readonly csrf: string;
}
