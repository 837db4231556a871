/** Registrations that wait for an administrator: anyone who reaches the server can make one. */
export const PENDING_REGISTRATIONS_MAX = 20;
export const TOOLS_PER_SERVER_MAX = 500;
export const TOOL_DEFINITION_BYTES_MAX = 65_536;
export const AGENT_NAME_LENGTH_MAX = 100;
export const PURPOSE_LENGTH_MAX = 500;
export const KEYS_PER_AGENT_MAX = 10;
/** How long a compiled policy is used before the tools are read again, beside the wake-up that says they changed. */
export const COMPILED_POLICY_MS_MAX = 30_000;
