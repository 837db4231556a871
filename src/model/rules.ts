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
  /** Names of the channels that carry messages about step-ups. */
  readonly channels: readonly string[];
}

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
  channels: [],
};
