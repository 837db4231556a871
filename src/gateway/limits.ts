/** One process or session per person, agent and task; idle ones end before new ones are refused. */
export const UPSTREAMS_PER_PRINCIPAL_MAX = 8;
export const UPSTREAMS_MAX = 64;
export const UPSTREAM_IDLE_SECONDS_MAX = 300;
export const UPSTREAM_CALLS_IN_FLIGHT_MAX = 256;

/** An upstream that exits before this age counts as failing, and the next start waits. */
export const BACK_OFF_HEALTHY_MS = 10_000;
export const BACK_OFF_FIRST_MS = 250;
export const BACK_OFF_MS_MAX = 30_000;
/** A call waits this long for a start that is held back; beyond it the call is refused. */
export const BACK_OFF_WAIT_MS_MAX = 2_000;

/** A cold `npx` on a busy machine takes seconds. */
export const HANDSHAKE_MS_MAX = 30_000;
/** Without a progress notification; each one starts the time anew, up to the total. */
export const REQUEST_QUIET_SECONDS_MAX = 300;
export const REQUEST_TOTAL_SECONDS_MAX = 3_600;

/** One JSON-RPC message of an upstream. */
export const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;
export const MESSAGE_DEPTH_MAX = 100;
export const ERROR_MESSAGE_CHARACTERS_MAX = 4_096;
/** What a call may send of progress and log notifications before the rest is dropped. */
export const RELAYED_BYTES_PER_CALL_MAX = 4 * 1024 * 1024;

export const STDERR_RING_BYTES_MAX = 64 * 1024;
export const STDERR_LINE_CHARACTERS_MAX = 2_048;
export const STDERR_LINES_PER_SECOND_MAX = 20;
export const STDERR_TAIL_CHARACTERS_MAX = 2_048;

/** After the end of stdin, and again after SIGTERM. */
export const STOP_STEP_MS = 1_000;
/** For the last answers of a process that ended. */
export const STDOUT_DRAIN_MS_MAX = 500;

export const TOOLS_MAX = 2_000;
export const LIST_PAGES_MAX = 100;
/** A list counts as settled when no `list_changed` came for this long. */
export const MANIFEST_SETTLE_MS = 250;
export const MANIFEST_SETTLE_MS_MAX = 5_000;

export const HTTP_CONNECT_MS_MAX = 10_000;
export const HTTP_CLOSE_MS_MAX = 1_000;
export const HTTP_STREAM_RETRY_FIRST_MS = 1_000;
export const HTTP_STREAM_RETRY_MS_MAX = 60_000;
export const HTTP_ERROR_BODY_BYTES_MAX = 2_048;

/** W3C Trace Context §3.3.1.5 asks for at least 512. */
export const TRACESTATE_CHARACTERS_MAX = 512;
