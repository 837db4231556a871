/** How much a revocation ended. Delegations that began a task are counted with their task. */
export interface Ended {
  readonly tasks: number;
  readonly delegations: number;
  readonly step_ups: number;
  readonly grants: number;
}

export const NOTHING_ENDED: Ended = { tasks: 0, delegations: 0, step_ups: 0, grants: 0 };
