/** Tasks and hops of one tree that a trace shows. */
export const TRACE_TASKS_MAX = 1_000;
export const TRACE_DELEGATIONS_MAX = 2_000;
/** Events of one page of a trace. */
export const TRACE_EVENTS_MAX = 1_000;
