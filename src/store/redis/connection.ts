import type { Unsubscribe } from '../ephemeral.ts';

/** A memory in Redis: what was written under another id, or on other servers, does not belong to it. */
export interface RedisEpoch {
  readonly id: string;
  /** What `RedisConnection.servers` said when the epoch began. */
  readonly servers: readonly string[];
}

export interface RedisConnection {
  /** The identity of every primary's history, sorted. It changes when another process or a replica takes its place. */
  servers(): Promise<readonly string[]>;
  /** Marks all tags as holding the memory of this epoch. Call it before anybody is told of the epoch. */
  seed(epochId: string): Promise<void>;
  /** Takes the epoch's marks away, so that every operation in it is lost; best effort, never rejects. */
  drop(epochId: string): Promise<void>;
  /**
   * Runs a script on the entries of `key`. It answers what the script does; rejects with `RedisOutage` or `MemoryLost`.
   * A lost reply is asked for once more: the script recognises the request and does not run twice.
   */
  run(epoch: RedisEpoch, script: string, call: ScriptCall): Promise<unknown>;
  publish(channel: string, message: string): Promise<void>;
  /** Resolves when the subscription is in force. After a reconnect the listener is called once with ''. */
  subscribe(channel: string, listener: (message: string) => void): Promise<Unsubscribe>;
  close(): Promise<void>;
}

export interface ScriptCall {
  /** What decides the slot: all names of one call live under the tag of this text. */
  readonly tagOf: string;
  readonly names: readonly string[];
  readonly values?: readonly (string | number | Buffer)[];
}
