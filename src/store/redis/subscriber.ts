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
  let state: 'new' | 'in force' | 'broken' = 'new';
  let inForce = Promise.withResolvers<void>();
  let failures = 0;

  const listen = async (): Promise<void> => {
    if (isClosed) return;
    const own = options.open();
    redis = own;
    own.on('error', (error) => options.log.debug({ reason: messageOf(error) }, 'no subscription to wake-ups'));
    own.on('message', (_channel: string, text: string) => deliver(channels, text));
    own.once('end', () => again(own));
    try {
      await own.connect();
      await own.subscribe(options.channel);
    } catch {
      own.disconnect();
      return again(own);
    }
    if (own.status !== 'ready' || redis !== own) return;
    if (state === 'broken') channels.publishToAll();
    state = 'in force';
    failures = 0;
    inForce.resolve();
  };
  const again = (own: Redis): void => {
    if (redis !== own || isClosed) return;
    redis = undefined;
    if (state === 'in force') {
      state = 'broken';
      inForce = Promise.withResolvers<void>();
    }
    failures += 1;
    setTimeout(listen, reconnectDelay(failures)).unref();
  };
  // A dead connection is noticed by the answer it does not give: the driver then ends it.
  const heartbeat = setInterval(() => {
    if (state === 'in force') redis?.ping().catch(() => redis?.disconnect());
  }, HEARTBEAT_INTERVAL_MS);
  heartbeat.unref();
  void listen();

  return {
    async subscribe(channel, listener) {
      if (isClosed) throw new RedisOutage('closed', 'The connection to Redis was closed.');
      // Registered first: should the connection be replaced while we wait, the listener is called for that.
      const unsubscribe = channels.subscribe(channel, listener);
      if (state !== 'in force') await atMost(OPERATION_MS_MAX, () => inForce.promise);
      if (state === 'in force') return unsubscribe;
      unsubscribe();
      throw new RedisOutage('unreachable', 'There is no subscription to the wake-ups over Redis.');
    },
    close() {
      isClosed = true;
      state = 'broken';
      clearInterval(heartbeat);
      redis?.disconnect();
      channels.clear();
    },
  };
}

function deliver(channels: ReturnType<typeof createChannels>, text: string): void {
  const message = parseWakeUp(text);
  if (message !== undefined) channels.publish(message.channel, message.payload);
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
