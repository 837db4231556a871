/** Registrations that wait for an administrator: anyone who reaches the server can make one. */
export const PENDING_REGISTRATIONS_MAX = 20;
export const TOOLS_PER_SERVER_MAX = 500;
export const TOOL_DEFINITION_BYTES_MAX = 65_536;
export const AGENT_NAME_LENGTH_MAX = 100;
export const PURPOSE_LENGTH_MAX = 500;
export const KEYS_PER_AGENT_MAX = 10;
/** How long a compiled policy is used before the tools are read again, beside the wake-up that says they changed. */
export const COMPILED_POLICY_MS_MAX = 30_000;

/** Proposals that wait for an administrator: everybody who can sign in may make one. */
export const PENDING_AGENTS_MAX = 200;
export const PENDING_AGENTS_PER_PERSON_MAX = 20;
export const TRUST_ZONE_CHARACTERS_MAX = 64;
export const SCOPES_PER_AGENT_MAX = 50;
export const SCOPE_NAME_CHARACTERS_MAX = 200;
export const TOOL_SERVERS_PER_BOUND_MAX = 200;
/** Hops that may follow an agent; the longest chain of all is bounded by the depth of `act`. */
export const DELEGATION_DEPTH_MAX = 8;
export const GOVERNED_DAYS_MAX = 3650;
export const PEERS_PER_AGENT_MAX = 200;
export const AGENTS_LISTED_MAX = 500;

/** Of the time between two changes of keys, how much passes before the owner is warned. */
export const KEY_WARNING_SHARE = 0.8;
/** Deadlines are in days; what is late by this much was in time. */
export const AGENT_SWEEP_MS = 60_000;
export const AGENT_SWEEP_BATCH_MAX = 200;
/** What agents use is kept in memory for so long at most, and so much of it. What would be more is recorded with its next use. */
export const USES_FLUSH_MS = 60_000;
export const USES_KEPT_MAX = 50_000;
/** `agents.last_used_at` is behind by so much at most: writing it takes the lock that calls share. */
export const AGENT_USE_RECORDED_SECONDS = 3_600;
/** How a platform names a workload, and what else its tokens must say. */
export const WORKLOAD_SUBJECT_CHARACTERS_MAX = 512;
export const WORKLOADS_PER_AGENT_MAX = 20;
export const WORKLOADS_PER_ISSUER_MAX = 1_000;
export const WORKLOAD_CLAIMS_MAX = 10;
export const WORKLOAD_CLAIM_CHARACTERS_MAX = 512;
export const WORKLOAD_USE_RECORDED_SECONDS = 3_600;
/** Of the tools that an event says came to an agent or went; of more it says how many. */
export const TOOLS_IN_EVENT_CHARACTERS_MAX = 32 * 1024;
