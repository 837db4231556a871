/** What people and programs outside are told about. */
export type StepUpMessageKind = 'step_up.opened' | 'step_up.decided';
export type OffboardingMessageKind = 'agent.offboarded' | 'person.offboarded' | 'task.ended';
export type MessageKind = StepUpMessageKind | OffboardingMessageKind;

/**
 * The port to the world outside: a channel carries, it never decides. What comes back over it is a person's click on a
 * page of ours, and that person signs in as everybody else (invariant 7).
 */
export interface Channel {
  /** As in the configuration and in the outbox. */
  readonly name: string;
  /**
   * One attempt. The same message may be handed over again, after an answer that got lost or in another process, with
   * the same id. Throws for bugs only; after `signal` it resolves soon.
   */
  send(message: Message, signal: AbortSignal): Promise<Delivery>;
}

/** Of every text that came from outside, only what one line can show, bounded, with deceptive characters named. */
export type Message = StepUpMessage | AgentMessage | PersonMessage | TaskMessage;

interface About<Kind extends MessageKind> {
  /** The same in every attempt: receivers recognise a repetition by it. */
  readonly id: string;
  readonly kind: Kind;
  /** When it happened, not when it is sent. */
  readonly occurredAt: Date;
}

export interface StepUpMessage extends About<StepUpMessageKind> {
  readonly stepUp: StepUpNotice;
}

/** An agent ended for good: whatever else it has elsewhere is to be taken from it. */
export interface AgentMessage extends About<'agent.offboarded'> {
  readonly agent: { readonly id: string; readonly name: string; readonly clientId: string; readonly ownerId: string };
}

/** A person was disabled or deleted. */
export interface PersonMessage extends About<'person.offboarded'> {
  readonly person: { readonly id: string; readonly name: string; readonly isDeleted: boolean };
}

export interface TaskMessage extends About<'task.ended'> {
  readonly task: {
    readonly id: string;
    readonly rootId: string;
    readonly agentId: string;
    readonly requesterId: string;
    readonly how: string;
  };
}

/** Who asks for what, and where to decide. Never the arguments: they are shown to people who signed in. */
export interface StepUpNotice {
  readonly id: string;
  readonly state: 'open' | 'approved' | 'denied' | 'expired' | 'withdrawn';
  readonly toolServer: string;
  readonly tool: string;
  readonly agent: string;
  readonly requester: string;
  readonly expiresAt: Date;
  readonly approvalUrl: string;
}

/** What became of one attempt. `reason` is for the operator: no secrets, nothing the receiver wrote. */
export type Delivery =
  | { readonly kind: 'sent' }
  | {
      readonly kind: 'retry';
      readonly reason: string;
      /** The receiver as a whole needs this long: nothing is sent to it before. null: only this message waits. */
      readonly pauseMs: number | null;
    }
  | { readonly kind: 'failed'; readonly reason: string };
