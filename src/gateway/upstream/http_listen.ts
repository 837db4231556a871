import { setTimeout as delay } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import type { Logger } from '../../kernel/logger.ts';
import { HTTP_STREAM_RETRY_FIRST_MS, HTTP_STREAM_RETRY_MS_MAX, MESSAGE_BYTES_MAX } from '../limits.ts';
import { parseEvents } from './sse_parser.ts';

export interface ListenOptions {
  readonly open: (signal: AbortSignal) => Promise<Dispatcher.ResponseData>;
  readonly onData: (data: string) => void;
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/**
 * Keeps the GET stream open, on which a server says that its tools changed (MCP 2025-11-25, Streamable HTTP, Listening for
 * Messages). A server without one answers 405; everything else is tried again, ever more slowly.
 */
export async function listenForNotifications(options: ListenOptions): Promise<void> {
  let retryMs = HTTP_STREAM_RETRY_FIRST_MS;
  while (!options.signal.aborted) {
    try {
      const response = await options.open(options.signal);
      if (response.statusCode === 405 || response.statusCode === 404) {
        await response.body.dump();
        return;
      }
      if (response.statusCode === 200) {
        await readEvents(response, options);
        retryMs = HTTP_STREAM_RETRY_FIRST_MS;
      } else {
        await response.body.dump();
      }
    } catch (error) {
      if (options.signal.aborted) return;
      options.log.debug({ error: (error as Error).message }, 'The notification stream of the tool server broke.');
    }
    await delay(retryMs, undefined, { signal: options.signal, ref: false }).catch(() => {});
    retryMs = Math.min(retryMs * 2, HTTP_STREAM_RETRY_MS_MAX);
  }
}

async function readEvents(response: Dispatcher.ResponseData, options: ListenOptions): Promise<void> {
  let isTooLong = false;
  const parse = parseEvents(MESSAGE_BYTES_MAX, options.onData, () => {
    isTooLong = true;
  });
  for await (const chunk of response.body) {
    parse(chunk as Buffer);
    if (isTooLong) throw new Error(`A message is over ${MESSAGE_BYTES_MAX} bytes.`);
  }
}
