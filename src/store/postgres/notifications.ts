import { type Kysely, sql } from 'kysely';
import type { Logger } from '../../kernel/logger.ts';
import type { Unsubscribe } from '../ephemeral.ts';
import { createChannels } from '../memory/channels.ts';
import { NOTIFICATION_BYTES_MAX, NOTIFIED_TOGETHER_MAX } from './limits.ts';
import { listenTo } from './listening.ts';
import type { DatabaseConnection } from './open.ts';
import type { Tables } from './tables.ts';

/** Wake-ups over LISTEN and NOTIFY. */
export interface Notifications {
  /** Rejects when PostgreSQL does not answer, or with a RangeError when the message is too long. */
  publish(channel: string, message: string): Promise<void>;
  /**
   * Resolves when this process listens, or after a short wait if it cannot now: a listener is called once, with '', when
   * listening began again, since something may have been missed.
   */
  subscribe(channel: string, listener: (message: string) => void): Promise<Unsubscribe>;
  close(): Promise<void>;
}

/** All our channels share one of PostgreSQL's, whose names are short and must not come from elsewhere. */
const CHANNEL = 'countersign_wake';

/** Listens on one connection of its own and publishes through the pool; what is published meanwhile goes together. */
export function openNotifications(options: {
  readonly connection: DatabaseConnection;
  readonly db: Kysely<Tables>;
  readonly log: Logger;
}): Notifications {
  const channels = createChannels();
  const publisher = new Publisher(options.db);
  const listening = listenTo(CHANNEL, {
    connection: options.connection,
    log: options.log,
    onPayload: (payload) => {
      const [channel, message] = JSON.parse(payload) as [string, string];
      channels.publish(channel, message);
    },
    onAgain: () => channels.publishToAll(),
    sendTo: (channel) => publisher.publish(channel, ''),
  });
  return {
    publish: (channel, message) => publisher.publish(channel, message),
    async subscribe(channel, listener) {
      const unsubscribe = channels.subscribe(channel, listener);
      await listening.whenListening();
      return unsubscribe;
    },
    async close() {
      channels.clear();
      await listening.close();
    },
  };
}

interface Waiting {
  readonly payload: string;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What comes while one statement is under way shares the next: wake-ups cost one connection, however many there are. */
class Publisher {
  readonly #db: Kysely<Tables>;
  readonly #waiting: Waiting[] = [];
  #isSending = false;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  publish(channel: string, message: string): Promise<void> {
    const payload = JSON.stringify([channel, message]);
    if (Buffer.byteLength(payload) > NOTIFICATION_BYTES_MAX) {
      return Promise.reject(new RangeError(`A wake-up has at most ${NOTIFICATION_BYTES_MAX} bytes with its channel.`));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ payload, resolve, reject });
      if (!this.#isSending) void this.#sendAll();
    });
  }

  async #sendAll(): Promise<void> {
    this.#isSending = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, NOTIFIED_TOGETHER_MAX);
      const payloads = [...new Set(batch.map(({ payload }) => payload))];
      try {
        await sql`select pg_notify(${CHANNEL}, payload) from unnest(${payloads}::text[]) as payload`.execute(this.#db);
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#isSending = false;
  }
}
