import { randomUUID } from 'node:crypto';
import pg from 'pg';
import type { Logger } from '../../kernel/logger.ts';
import {
  LISTENING_CHECK_MS,
  LISTENING_RETRY_MS,
  LISTENING_RETRY_MS_MAX,
  LISTENING_SILENCE_MS_MAX,
  LISTENING_WAIT_MS,
  POOL_WAIT_TIMEOUT_MS,
} from './limits.ts';
import { connectionSettings, type DatabaseConnection } from './open.ts';

export interface ListeningOptions {
  readonly connection: DatabaseConnection;
  readonly log: Logger;
  readonly onPayload: (payload: string) => void;
  /** It listens again after it could not: anything may have been missed. */
  readonly onAgain: () => void;
  /** Sends something, by way of the pool, to the channel named; it should be heard here. */
  readonly sendTo: (channel: string) => Promise<void>;
}

export interface Listening {
  /** Resolves when notifications are heard, or after a bounded wait if they cannot be now. */
  whenListening(): Promise<void>;
  close(): Promise<void>;
}

/** Listens to a channel of PostgreSQL, whose name is an identifier, until it is closed. */
export function listenTo(channel: string, options: ListeningOptions): Listening {
  return new Connection(channel, options);
}

/** The connection that listens: made again whenever it is lost, or when it hears nothing of what this process sends. */
class Connection implements Listening {
  readonly #channel: string;
  readonly #options: ListeningOptions;
  /** The channel on which this process hears itself. */
  readonly #own = randomUUID();
  readonly #checking: NodeJS.Timeout;
  #ready = Promise.withResolvers<void>();
  #client: pg.Client | undefined;
  #heardAt = performance.now();
  #retryMs = LISTENING_RETRY_MS;
  #retrying: NodeJS.Timeout | undefined;
  #isListening = false;
  #wasLost = false;
  #isClosed = false;

  constructor(channel: string, options: ListeningOptions) {
    this.#channel = channel;
    this.#options = options;
    this.#checking = setInterval(() => this.#check(), LISTENING_CHECK_MS);
    this.#checking.unref();
    void this.#connect();
  }

  async whenListening(): Promise<void> {
    if (this.#isListening) return;
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, LISTENING_WAIT_MS);
    await Promise.race([this.#ready.promise, late.promise]);
    clearTimeout(timer);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#ready.resolve();
    clearInterval(this.#checking);
    clearTimeout(this.#retrying);
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => {});
  }

  async #connect(): Promise<void> {
    const client = new pg.Client({
      ...connectionSettings(this.#options.connection),
      application_name: 'countersign-wake',
      connectionTimeoutMillis: POOL_WAIT_TIMEOUT_MS,
      keepAlive: true,
    });
    this.#client = client;
    // Without a listener a lost connection ends the whole process.
    client.on('error', (error) => this.#lose(client, error));
    client.on('end', () => this.#lose(client, new Error('PostgreSQL closed the connection')));
    client.on('notification', ({ payload = '' }) => this.#hear(payload));
    try {
      await client.connect();
      await client.query({ text: `listen ${this.#channel}`, query_timeout: POOL_WAIT_TIMEOUT_MS } as pg.QueryConfig);
    } catch (error) {
      this.#lose(client, error as Error);
      return;
    }
    if (this.#client !== client) return;
    this.#heardAt = performance.now();
    this.#retryMs = LISTENING_RETRY_MS;
    this.#isListening = true;
    this.#ready.resolve();
    if (!this.#wasLost) return;
    this.#wasLost = false;
    this.#options.log.info({}, 'wake-ups by PostgreSQL are heard again');
    this.#options.onAgain();
  }

  #hear(payload: string): void {
    this.#heardAt = performance.now();
    this.#options.onPayload(payload);
  }

  #lose(client: pg.Client, error: Error): void {
    if (this.#client !== client || this.#isClosed) return;
    this.#client = undefined;
    this.#isListening = false;
    client.end().catch(() => {});
    if (!this.#wasLost) {
      this.#ready = Promise.withResolvers();
      this.#options.log.warn(
        { error: error.message },
        'the connection that hears wake-ups of PostgreSQL was lost; what changes is found by polling until it is back',
      );
    }
    this.#wasLost = true;
    this.#retrying = setTimeout(() => void this.#connect(), this.#retryMs);
    this.#retryMs = Math.min(2 * this.#retryMs, LISTENING_RETRY_MS_MAX);
  }

  // A connection may stand still, or lead to another server than the pool after a failover: both look like silence.
  #check(): void {
    const client = this.#client;
    if (client === undefined || !this.#isListening) return;
    if (performance.now() - this.#heardAt > LISTENING_SILENCE_MS_MAX) {
      this.#lose(client, new Error('nothing that this server sent was heard'));
      return;
    }
    this.#options.sendTo(this.#own).catch(() => {
      // Nothing can be sent now, so silence says nothing about the connection that listens.
      this.#heardAt = performance.now();
    });
  }
}
