export const INITDB_TIMEOUT_MS = 120_000;
/** Long, because a start after a power loss replays the write-ahead log first. */
export const START_TIMEOUT_MS = 120_000;
export const CONNECT_TIMEOUT_MS = 2_000;
export const POLL_INTERVAL_MS = 20;
/** How long a lock may outlive the process that held it: PostgreSQL notices a closed socket within milliseconds. */
export const DEAD_HOLDER_GRACE_MS = 5_000;
export const FAST_STOP_TIMEOUT_MS = 20_000;
export const IMMEDIATE_STOP_TIMEOUT_MS = 5_000;
/** sockaddr_un.sun_path holds 108 bytes on Linux and 104 on macOS, with the terminating zero. */
export const SOCKET_PATH_BYTES_MAX = 100;
export const SERVER_LOG_BYTES_MAX = 8 * 1024 * 1024;
export const LOG_TAIL_BYTES = 2_000;
/** An unfinished first start older than this belongs to a process that died. */
export const UNFINISHED_CLUSTER_AGE_MS = 10 * 60_000;
export const QUOTED_LINES_MAX = 12;
/** PostgreSQL fills a new postmaster.pid within milliseconds: one that stays empty was left by a full disk. */
export const EMPTY_PID_FILE_AGE_MS = 5_000;
