import { isOutdated } from './prepare.ts';

// PostgreSQL, appendix A: 08 connection, 53 resources (disk, memory, connections), 57 operator intervention and
// statement_timeout, 58 system errors; then single conditions of other classes.
const OUTAGE_CLASSES = ['08', '53', '57', '58'];
const OUTAGE_CODES = [
  '25006', // read only: we reached a standby
  '25P03', // idle in transaction for too long
  '28000', // no pg_hba entry: the server is not set up for us (yet)
  '28P01', // nor our password
  '3D000', // nor our database
  '40001', // serialization failure
  '40P01', // deadlock
  '55000', // the server we reached after a failover is not fit to decide on
  '55P03', // lock_timeout
];
const SYSTEM_CODES = [
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
];
// `pg` gives these no code (pg/lib/client.js, pg-pool/index.js), nor does Kysely to what outlives the end of its pool.
const DRIVER_MESSAGES =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client has encountered a connection|Client was closed|driver has already been destroyed)/;

/**
 * Whether the database, not the request, is why this failed, so that the answer is 503 and the caller may try again.
 * What became of the transaction is unknown when the connection was lost while it committed.
 */
export function isDatabaseOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (isOutdated(error)) return true;
  const code = (error as { code?: unknown }).code;
  if (typeof code !== 'string') return DRIVER_MESSAGES.test(error.message);
  if (SYSTEM_CODES.includes(code)) return (error as { syscall?: unknown }).syscall !== 'open';
  return code.length === 5 && (OUTAGE_CODES.includes(code) || OUTAGE_CLASSES.includes(code.slice(0, 2)));
}

/** What a start does not wait out: the server is there and will not have us, or cannot be used, until somebody mends that. */
const MISCONFIGURED = ['28000', '28P01', '3D000', '55000'];

/** Whether PostgreSQL is not there yet, or starts, or is being failed over: it may come by itself. */
export function isDatabaseAbsent(error: unknown): boolean {
  return isDatabaseOutage(error) && !MISCONFIGURED.includes(String((error as { code?: unknown }).code));
}

/**
 * Whether PostgreSQL ended the transaction for a reason that passes (a deadlock, a serialization failure, a migration), so
 * that it is certain that nothing of it was committed.
 */
export function isAborted(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return code === '40001' || code === '40P01' || isOutdated(error);
}
