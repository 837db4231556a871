import { ReplyError } from 'ioredis';
import { RedisOutage, type RedisOutageReason } from './errors.ts';

/** The first word of a refusal by Redis that says it cannot work now, and why; any other is a mistake of ours. */
const REFUSALS: Readonly<Record<string, RedisOutageReason>> = {
  OOM: 'full',
  MISCONF: 'refused', // it cannot write its dump, and stop-writes-on-bgsave-error is on
  READONLY: 'refused', // a replica
  NOREPLICAS: 'refused', // min-replicas-to-write
  LOADING: 'refused',
  MASTERDOWN: 'refused',
  CLUSTERDOWN: 'refused',
  TRYAGAIN: 'refused',
  UNBLOCKED: 'refused', // became a replica
  BUSY: 'no_answer', // somebody's script runs on
  NOAUTH: 'refused',
  WRONGPASS: 'refused',
  NOPERM: 'refused',
};

/**
 * The outage that an error of the driver means; undefined if it is none. The driver's own errors carry the command with its
 * values, and passwords: only their first line goes on.
 */
export function outageOf(error: unknown): RedisOutage | undefined {
  if (error instanceof RedisOutage) return error;
  const message = messageOf(error);
  if (error instanceof ReplyError) {
    const reason = REFUSALS[message.split(' ', 1)[0]!];
    return reason === undefined ? undefined : new RedisOutage(reason, `Redis refused: ${message}`);
  }
  if (message === 'Command timed out') return new RedisOutage('no_answer', 'Redis did not answer in time.');
  return new RedisOutage('unreachable', 'There is no connection to Redis.');
}

/** Whether it may have run, or would run on another connection: asking once more, with the same request id, is right. */
export function isWorthAnotherTry(outage: RedisOutage, error: unknown): boolean {
  if (outage.reason === 'unreachable' || outage.reason === 'no_answer') return true;
  return messageOf(error).startsWith('READONLY');
}

/** A mistake of ours, or of somebody who wrote under our keys. The driver's error would carry the command's values. */
export function unexpected(error: unknown): Error {
  return new Error(`Redis refused a command: ${messageOf(error)}`);
}

export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n', 1)[0]!.slice(0, 300);
}
