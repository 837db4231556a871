import type { Unsubscribe } from '../ephemeral.ts';
import type { Place } from './epoch.ts';

/** What carries wake-ups: each server publishes by one and hears both, so that nobody misses one while the memory moves. */
export interface WakeUpCarrier {
  /** Calls the listener once with '' after a gap in which something may have been missed. */
  subscribe(channel: string, listener: (message: string) => void): Promise<Unsubscribe>;
}

interface Subscription {
  readonly channel: string;
  readonly listener: (message: string) => void;
  readonly ends: Unsubscribe[];
  inRedis: 'no' | 'asked' | 'yes';
  isOver: boolean;
}

/** The subscriptions of this process, at PostgreSQL always and at Redis as soon as it can be reached. */
export class WakeUps {
  readonly #postgres: WakeUpCarrier;
  readonly #redis: () => WakeUpCarrier | undefined;
  readonly #place: () => Place;
  readonly #subscriptions = new Set<Subscription>();

  constructor(postgres: WakeUpCarrier, redis: () => WakeUpCarrier | undefined, place: () => Place) {
    this.#postgres = postgres;
    this.#redis = redis;
    this.#place = place;
  }

  async subscribe(channel: string, listener: (message: string) => void): Promise<Unsubscribe> {
    const subscription: Subscription = { channel, listener, ends: [], inRedis: 'no', isOver: false };
    this.#subscriptions.add(subscription);
    const attached = this.#attach(subscription);
    subscription.ends.push(await this.#postgres.subscribe(channel, listener));
    // Others publish there now, so it is not in force before.
    if (this.#place() === 'redis') await attached;
    return () => {
      subscription.isOver = true;
      this.#subscriptions.delete(subscription);
      for (const stop of subscription.ends.splice(0)) stop();
    };
  }

  /** Redis answers, perhaps again: whoever it could not tell so far is told once, since something may have been missed. */
  reachRedis(): void {
    for (const subscription of this.#subscriptions) {
      if (subscription.inRedis !== 'no') continue;
      void this.#attach(subscription).then((isAttached) => {
        if (isAttached && !subscription.isOver) subscription.listener('');
      });
    }
  }

  // Never rejects: without Redis, wake-ups come by PostgreSQL, and whoever waits polls as well.
  async #attach(subscription: Subscription): Promise<boolean> {
    const redis = this.#redis();
    if (redis === undefined) return false;
    subscription.inRedis = 'asked';
    try {
      const end = await redis.subscribe(subscription.channel, (message) => subscription.listener(message));
      subscription.inRedis = 'yes';
      if (subscription.isOver) end();
      else subscription.ends.push(end);
      return true;
    } catch {
      subscription.inRedis = 'no';
      return false;
    }
  }
}
