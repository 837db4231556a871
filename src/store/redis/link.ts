import type { Redis, RedisOptions } from 'ioredis';
import type { Logger } from '../../kernel/logger.ts';
import {
  COMMAND_TIMEOUT_MS,
  CONNECT_TIMEOUT_MS,
  DISCONNECT_TIMEOUT_MS,
  KEEP_ALIVE_MS,
  RECONNECT_DELAY_MS_MAX,
  RECONNECT_DELAY_MS_MIN,
  SILENCE_TIMEOUT_MS,
} from './limits.ts';
import { messageOf } from './outage.ts';
import type { RedisSettings } from './settings.ts';

/** The driver for one topology. Everything it does ends in time, or is ended by the caller's timer. */
export interface Link {
  call(command: string, args: readonly (string | number)[]): Promise<unknown>;
  /** Asks every primary for its INFO. */
  inform(): Promise<readonly { readonly address: string; readonly info: string }[]>;
  /** Waits a little for connections that are coming back; resolves whether or not they did. */
  recover(): Promise<void>;
  /** Looks for the primary anew; false if there is nothing to look for. */
  renew(): boolean;
  /** What last kept it from being connected, for the operator. */
  problem(): string | undefined;
  /** A new connection of its own to any server that gets all messages, not yet connected and never reconnecting. */
  openSubscriber(): Redis;
  close(): void;
}

/**
 * What keeps a lost reply from running twice or hanging: nothing is queued without a connection, nothing is sent again by
 * the driver, and every command, handshake and silence has an end.
 */
export function driverOptions(settings: RedisSettings) {
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_TIMEOUT_MS,
    socketTimeout: SILENCE_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    maxLoadingRetryTime: RECONNECT_DELAY_MS_MAX,
    keepAlive: KEEP_ALIVE_MS,
    // Not `stringNumbers`, against which 6.0.0 cannot read the slots of a cluster; our scripts answer with text, since it
    // rounds large integers.
    protocol: 2,
    connectionName: 'countersign',
    ...(settings.username === null ? {} : { username: settings.username }),
    ...(settings.password === null ? {} : { password: settings.password }),
    ...(settings.tls ? { tls: {} } : {}),
  } satisfies RedisOptions;
}

export function reconnectDelay(attempts: number): number {
  return Math.min(RECONNECT_DELAY_MS_MIN * 2 ** Math.min(attempts - 1, 10), RECONNECT_DELAY_MS_MAX);
}

/** Says once that the connection was lost and once that it is back, not every attempt. */
export function createLinkLog(log: Logger): {
  lost(error?: unknown): void;
  isBack(): void;
  problem(): string | undefined;
  end(): void;
} {
  let isLost = false;
  let isOver = false;
  let problem: string | undefined;
  return {
    lost(error) {
      if (error !== undefined) problem = messageOf(error);
      if (isLost || isOver) return;
      isLost = true;
      log.warn({ reason: problem ?? 'closed' }, 'the connection to Redis was lost; trying to connect again');
    },
    problem: () => problem,
    isBack() {
      if (isLost) log.info({}, 'connected to Redis again');
      isLost = false;
      problem = undefined;
    },
    end() {
      isOver = true;
    },
  };
}

/** Resolves when `work` did or failed, or after `limitMs`, when it is told by its signal; never rejects. */
export async function atMost(limitMs: number, work: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const controller = new AbortController();
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, limitMs);
  await Promise.race([work(controller.signal).catch(() => {}), over]);
  clearTimeout(timer);
  controller.abort();
}

/** One run for all who ask while it lasts. */
export function shareRuns(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => {
    running ??= work().finally(() => {
      running = undefined;
    });
    return running;
  };
}
