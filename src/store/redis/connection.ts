import { randomBytes } from 'node:crypto';
import type { Logger } from '../../kernel/logger.ts';
import type { Unsubscribe } from '../ephemeral.ts';
import { MemoryLost, RedisOutage, RedisPolicyError } from './errors.ts';
import { createGate } from './gate.ts';
import { inspectPrimary } from './inspect.ts';
import { type EntryName, keyOf } from './keys.ts';
import { TAGS } from './limits.ts';
import type { Link } from './link.ts';
import { isWorthAnotherTry, messageOf, outageOf, unexpected } from './outage.ts';
import { SCRIPTS, type Script, type ScriptName } from './scripts.ts';
import type { RedisSettings } from './settings.ts';
import { createSubscriber } from './subscriber.ts';

/** A memory in Redis: what was written under another id, or on other servers, does not belong to it. */
export interface RedisEpoch {
  readonly id: string;
  /** What `RedisConnection.servers` said when the epoch began. */
  readonly servers: readonly string[];
}

export interface RedisConnection {
  /**
   * The identity of every primary's history, sorted. It changes when another process or a replica takes a primary's place.
   * Rejects with `RedisOutage`, also when a primary may evict.
   */
  servers(): Promise<readonly string[]>;
  /** Marks all tags as holding the memory of this epoch. Call it before anybody is told of the epoch. */
  seed(epochId: string): Promise<void>;
  /**
   * Takes the epoch's marks away where it can, so that nobody works in it any more; never rejects. Call it before another
   * epoch begins to count, else a node that has not heard of it accepts in the old one what was marked in the new one.
   */
  drop(epochId: string): Promise<void>;
  /**
   * Runs a script on one entry. Rejects with `RedisOutage` or `MemoryLost`. A lost reply is asked for once more: the
   * script recognises the request and does not run twice.
   */
  run(
    epoch: RedisEpoch,
    script: ScriptName,
    entry: EntryName,
    ...values: readonly (string | number)[]
  ): Promise<unknown>;
  publish(channel: string, message: string): Promise<void>;
  /** Resolves when the subscription is in force. After a gap of the connection the listener is called once with ''. */
  subscribe(channel: string, listener: (message: string) => void): Promise<Unsubscribe>;
  close(): Promise<void>;
}

const MARK = 'mark';
const REQUEST_ID_BYTES = 12;

export function createConnection(settings: RedisSettings, link: Link, log: Logger): RedisConnection {
  const { keyPrefix, topology } = settings;
  const gate = createGate();
  const subscriber = createSubscriber({ open: link.openSubscriber, channel: `${keyPrefix}:wake`, log });

  /** Asks once more after a lost reply. `command` carries the same request id both times. */
  const twice = async <Value>(command: () => Promise<Value>): Promise<Value> => {
    try {
      return await command();
    } catch (error) {
      const outage = outageOf(error);
      if (outage === undefined || !isWorthAnotherTry(outage, error)) throw outage ?? unexpected(error);
      if (outage.reason === 'refused') link.renew();
    }
    await link.recover();
    return command().catch((error: unknown) => {
      throw outageOf(error) ?? unexpected(error);
    });
  };
  const pass = <Value>(command: () => Promise<Value>): Promise<Value> => gate.pass(() => twice(command));
  const onEveryTag = (command: (mark: string) => Promise<unknown>, epochId: string): Promise<unknown>[] =>
    Array.from({ length: TAGS }, (_, tag) => pass(() => command(keyOf(keyPrefix, epochId, tag, MARK))));

  return {
    servers: () =>
      pass(async () => {
        const primaries = await link.inform();
        return primaries.map(({ address, info }) => identityOf(topology, address, info)).toSorted();
      }),
    async seed(epochId) {
      await Promise.all(onEveryTag((mark) => link.call('set', [mark, '1']), epochId));
    },
    async drop(epochId) {
      await Promise.allSettled(onEveryTag((mark) => link.call('del', [mark]), epochId));
    },
    run: (epoch, name, entry, ...values) =>
      gate.pass(async () => {
        const script: Script = SCRIPTS[name];
        const key = (suffix: string) => keyOf(keyPrefix, epoch.id, entry.tag, suffix);
        const receipt = script.hasReceipt
          ? [key(`receipt:${randomBytes(REQUEST_ID_BYTES).toString('base64url')}`)]
          : [];
        const keys = [key(MARK), ...receipt, key(entry.name)];
        const args = [keys.length, ...keys, epoch.servers.join(' '), ...values];
        const evaluate = () => twice(() => evaluateOnce(link, script, args));
        let [state, answer] = await evaluate();
        if (state === 'lost' && link.renew()) {
          // The Sentinels may have another primary by now, and we be the last to talk to the former one.
          await link.recover();
          [state, answer] = await evaluate();
        }
        if (state === 'lost') throw new MemoryLost(`Redis does not hold the memory of epoch ${epoch.id} any more.`);
        return answer ?? undefined;
      }),
    async publish(channel, message) {
      await pass(() => link.call('publish', [`${keyPrefix}:wake`, JSON.stringify([channel, message])]));
    },
    subscribe: (channel, listener) => subscriber.subscribe(channel, listener),
    async close() {
      gate.close();
      subscriber.close();
      link.close();
    },
  };
}

async function evaluateOnce(
  link: Link,
  script: Script,
  args: readonly (string | number)[],
): Promise<readonly [state: unknown, answer?: unknown]> {
  const reply = await link.call('evalsha', [script.sha, ...args]).catch((error: unknown) => {
    if (!messageOf(error).startsWith('NOSCRIPT')) throw error;
    return link.call('eval', [script.source, ...args]);
  });
  return reply as [unknown, unknown?];
}

function identityOf(topology: RedisSettings['topology'], address: string, info: string): string {
  try {
    return inspectPrimary(topology, address, info);
  } catch (error) {
    throw error instanceof RedisPolicyError ? new RedisOutage('refused', error.message) : error;
  }
}
