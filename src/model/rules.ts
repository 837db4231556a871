import { type DpopRules, NO_DPOP_RULES } from './federation.ts';

/** Settings that use cases decide by, parsed once from the configuration. Times in seconds unless named otherwise. */
export interface Rules {
  /** One person may do everything, also approve for their own agent without a passkey. Shown on every page. */
  readonly singleOperator: boolean;
  readonly replayWindowSeconds: number;
  readonly denialCooldownSeconds: number;
  readonly stepUpsPerAgentPerMinute: number;
  readonly openStepUpsPerAgent: number;
  readonly taskSecondsDefault: number;
  readonly taskSecondsMax: number;
  readonly accessTokenSeconds: number;
  readonly sessionSeconds: number;
  /** The least time between showing a critical step-up and deciding it. */
  readonly criticalDwellSeconds: number;
  /** When tokens must be bound to a key (RFC 9449). */
  readonly dpop: DpopRules;
  /** Whether tokens say where their status is published (Token Status List), for verifiers that are no guards of ours. */
  readonly tokenStatusLists: boolean;
  /** Names of the channels that carry messages to people and programs outside. */
  readonly channels: readonly string[];
  /** What the channels tell of. */
  readonly toldOf: readonly MessageTopic[];
}

/** `offboarding` is of agents and people; `tasks` of the end of every task, which are many. */
export const MESSAGE_TOPICS = ['step_ups', 'offboarding', 'tasks'] as const;
export type MessageTopic = (typeof MESSAGE_TOPICS)[number];

export const DEFAULT_RULES: Rules = {
  singleOperator: false,
  replayWindowSeconds: 120,
  denialCooldownSeconds: 300,
  stepUpsPerAgentPerMinute: 5,
  openStepUpsPerAgent: 20,
  taskSecondsDefault: 3600,
  taskSecondsMax: 86_400,
  accessTokenSeconds: 300,
  sessionSeconds: 43_200,
  criticalDwellSeconds: 3,
  dpop: NO_DPOP_RULES,
  tokenStatusLists: false,
  channels: [],
  toldOf: ['step_ups', 'offboarding'],
};
