import type { Logger } from './logger.ts';

const CLIENT_LEFT = ['EPIPE', 'ECONNRESET', 'ECONNABORTED', 'ERR_STREAM_PREMATURE_CLOSE'];

/** An answer that could not be sent. A client that went away meanwhile is no failure of ours, and happens all day. */
export function logFailedResponse(log: Logger, error: Error): void {
  if (CLIENT_LEFT.includes((error as NodeJS.ErrnoException).code ?? '')) {
    log.debug({ reason: error.message }, 'a client went away before its answer');
    return;
  }
  log.error({ err: error }, 'a response failed');
}
