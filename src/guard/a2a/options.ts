import type { AgentCard, Message } from '@a2a-js/sdk';
import type { TaskStore } from '@a2a-js/sdk/server';
import type { JsonObject } from '../../kernel/json.ts';
import type { GuardOptions } from '../options.ts';
import type { ExchangeRequest } from './caller_of.ts';

/** The agent that a guarded server acts as: what `createServiceAgent` of `countersign/agent` gives. */
export interface ExchangingAgent<Exchanged> {
  exchange(request: { subjectToken: () => string; resource: string } & ExchangeRequest): Exchanged | Promise<Exchanged>;
}

export interface A2AGuardOptions<Exchanged = unknown>
  extends Omit<GuardOptions, 'deployment' | 'version' | 'tools' | 'listResourcesAndPrompts'> {
  /**
   * The card of this agent. What it says of interfaces, security and our extension is set by the guard: it is served at
   * `resource` by JSON-RPC, A2A 1.0.
   */
  readonly agentCard: AgentCard;
  /** Where tasks are kept. Default: in memory, by principal. */
  readonly taskStore?: TaskStore;
  /**
   * Decides by skill: a message counts as a call of the tool that has the id of this skill, and of `message` where this
   * gives undefined. `named` takes the skill that the sender names, and is safe only for an executor that serves exactly
   * `countersignOf(request).skill`. Default: every message is a call of the tool `message`.
   */
  readonly skillOf?: 'named' | ((message: Message) => string | undefined);
  /**
   * JSON Schemas of structured skills, by skill id. Such a skill takes one data part of this shape; it is shown by
   * member, and policies, constraints and budgets can name its members (`/input/amount`).
   */
  readonly inputs?: Readonly<Record<string, JsonObject>>;
  /** The agent that acts here. Needed for `exchangeFor`; it must be registered as the agent at this address. */
  readonly agent?: ExchangingAgent<Exchanged>;
}

export interface A2AServer {
  /**
   * Serves the endpoint, the agent card, and the metadata that clients find their authorization server by. Web-standard:
   * `toNodeHandler` of `@modelcontextprotocol/node` makes a handler for `node:http` and Express of it.
   */
  readonly fetch: (request: Request) => Promise<Response>;
  /** Resolves when the server accepted the registration, knows the skills and has given the first lease. */
  ready(): Promise<void>;
  /** Ends background work and connections. Tasks that wait for a person end, and say that the message can be sent again. */
  close(): Promise<void>;
}
