export const PURPOSE_LENGTH_MAX = 500;
export const TASK_SECONDS_MIN = 60;
export const TOOLS_PER_TASK_MAX = 500;
/** Nobody reviews more (design §3); larger content goes by reference. */
export const GATED_ARGUMENTS_BYTES_MAX = 65_536;
/** What is kept of an outcome for replay; a larger one is replayed as "done" without its content. */
export const OUTCOME_BYTES_MAX = 262_144;
export const TASKS_LISTED_MAX = 200;
/** Fewer than are listed, so that the people an agent works for can see and end each of them. */
export const RUNNING_TASKS_PER_AGENT_MAX = 100;
/**
 * A redemption is judged anew when what it was judged by changed meanwhile. Of those that race for the uses of one grant one
 * gets its use in every round.
 */
export const REDEEM_ROUNDS_MAX = 32;
/** What was judged longer ago is judged anew before a grant is used: a process may have stood still in between. */
export const JUDGED_SECONDS_MAX = 5;
/** Step-ups, or tasks, that one transaction of retention deletes. */
export const PRUNE_STEP_UPS_MAX = 500;
/** Of what a person says on why something is ended. */
export const REVOCATION_REASON_LENGTH_MAX = 500;
/** Tasks in a line from the root down, the root counted. */
export const TASK_CHAIN_MAX = 8;
/** Of an agent, those that are not retired. */
export const TEMPLATES_PER_AGENT_MAX = 50;
export const TEMPLATES_LISTED_MAX = 500;
/** Tasks that one transaction of the sweep ends. */
export const TASK_EXPIRY_BATCH_MAX = 100;
export const TASK_EXPIRY_SWEEP_MS = 5_000;
/** Delegations in a line from the root down, those that begin tasks counted. */
export const DELEGATION_CHAIN_MAX = 32;
/** That live at once below the beginning of one task; the same one is found again instead of made again. */
export const DELEGATIONS_PER_TASK_MAX = 1_000;
/** A hop is judged anew when the owner of one of its agents changed meanwhile. */
export const DELEGATE_ROUNDS_MAX = 3;
/** Policies that the event of a delegation names. */
export const POLICIES_NAMED_MAX = 16;
/** Tokens issued so shortly after their agent was suspended count as issued before: clocks differ. */
export const ISSUED_TOLERANCE_SECONDS = 5;
/** Numbers of token statuses that a process takes at a time. */
export const STATUS_NUMBERS_PER_BLOCK = 1_024;
/** A revocation waits for what goes on below it for so long, which is below what ends a statement, and so often. */
export const REVOCATION_WAIT_MS_MAX = 9_000;
export const REVOCATION_TRIES_MAX = 3;
/** Delegations that one statement revokes: far fewer than it has time for. */
export const REVOKED_TOGETHER_MAX = 2_000;
