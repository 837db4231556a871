import type { Redis } from 'ioredis';
import type { Logger } from '../../kernel/logger.ts';
import type { Unsubscribe } from '../ephemeral.ts';
import { createChannels } from '../memory/channels.ts';
import { RedisOutage } from './errors.ts';
import { HEARTBEAT_INTERVAL_MS, OPERATION_MS_MAX } from './limits.ts';
import { atMost, reconnectDelay } from './link.ts';
import { messageOf } from './outage.ts';

export interface Subscriber {
  subscribe(channel: string, listener: (message: string) => void): Promise<Unsubscribe>;
  close(): void;
}

/**
 * One connection that hears all wake-ups of the installation and hands them out in this process. When it was interrupted,
 * every listener is called once after it is whole again: what was said in between is not known.
 */
export function createSubscriber(options: {
  readonly open: () => Redis;
  readonly channel: string;
  readonly log: Logger;
}): Subscriber {
  const channels = createChannels();
  let redis: Redis | undefined;
  let isClosed = false;
  let inForce = Promise.withResolvers<void>();
  let isInForce = false;
  let hasGap = false;
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;

  const listen = async (): Promise<void> => {
    const own = options.open();
    redis = own;
    own.on('error', (error) => options.log.debug({ reason: messageOf(error) }, 'no subscription to wake-ups'));
    own.on('message', (_channel: string, text: string) => deliver(text));
    own.once('end', () => again(own));
    try {
      await own.connect();
      await own.subscribe(options.channel);
      if (own.status !== 'ready' || redis !== own) return;
      failures = 0;
      isInForce = true;
      inForce.resolve();
      if (hasGap) channels.publishToAll();
      hasGap = false;
    } catch {
      own.disconnect();
      again(own);
    }
  };
  const again = (own: Redis): void => {
    if (redis !== own || isClosed) return;
    redis = undefined;
    if (isInForce) {
      inForce = Promise.withResolvers<void>();
      hasGap = true;
    }
    isInForce = false;
    failures += 1;
    timer = setTimeout(listen, reconnectDelay(failures));
  };
  const deliver = (text: string): void => {
    const message = parseWakeUp(text);
    if (message !== undefined) channels.publish(message.channel, message.payload);
  };
  // A dead connection is noticed by the answer it does not give: the driver then ends it.
  const heartbeat = setInterval(() => {
    if (isInForce) redis?.ping().catch(() => redis?.disconnect());
  }, HEARTBEAT_INTERVAL_MS);
  heartbeat.unref();
  void listen();

  return {
    async subscribe(channel, listener) {
      if (isClosed) throw new RedisOutage('closed', 'The connection to Redis was closed.');
      // Registered first: should the connection be replaced while we wait, the listener is called for that.
      const unsubscribe = channels.subscribe(channel, listener);
      if (!isInForce) await atMost(OPERATION_MS_MAX, () => inForce.promise);
      if (isInForce) return unsubscribe;
      unsubscribe();
      throw new RedisOutage('unreachable', 'There is no subscription to the wake-ups over Redis.');
    },
    close() {
      isClosed = true;
      isInForce = false;
      clearInterval(heartbeat);
      clearTimeout(timer);
      redis?.disconnect();
      channels.clear();
    },
  };
}

function parseWakeUp(text: string): { readonly channel: string; readonly payload: string } | undefined {
  try {
    const [channel, payload] = JSON.parse(text) as unknown[];
    return typeof channel === 'string' && typeof payload === 'string' ? { channel, payload } : undefined;
  } catch {
    // Somebody else's message on our channel: a wake-up decides nothing.
    return undefined;
  }
}
