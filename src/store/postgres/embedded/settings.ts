/** The port only names the socket file; nothing listens on TCP. */
export const SOCKET_PORT = 5432;

/**
 * Durable first, small second: one server on a laptop or a small machine. Given on the command line at every start, so
 * that a new release changes them without touching the cluster.
 */
export const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '',
  unix_socket_permissions: '0700',
  password_encryption: 'scram-sha-256',
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  max_connections: '60',
  superuser_reserved_connections: '3',
  shared_buffers: '64MB',
  work_mem: '4MB',
  maintenance_work_mem: '32MB',
  max_wal_size: '256MB',
  min_wal_size: '64MB',
  // No replicas of an embedded server: less log to write, and no sender or replication processes.
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_logical_replication_workers: '0',
  max_parallel_workers_per_gather: '0',
  max_worker_processes: '2',
  autovacuum_max_workers: '1',
  io_method: 'sync',
  huge_pages: 'off',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_line_prefix: '%m [%p] %a ',
  // A failed statement may carry personal data, and the caller already logs the failure without it.
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
};

/** Nothing is inherited from our own environment: PG* variables would redirect initdb and postgres. */
export const ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: '/usr/bin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
};
