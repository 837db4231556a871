import { performance } from 'node:perf_hooks';
import { createLocalJWKSet, type JWK, type JWTVerifyGetKey } from 'jose';
import type { Logger } from '../kernel/logger.ts';
import type { SafeFetch } from '../kernel/safe_fetch.ts';
import type { KeyLocation } from '../model/federation.ts';
import { readKeySet } from './key_set_document.ts';
import {
  REMOTE_KEY_SET_BYTES_MAX,
  REMOTE_KEY_SETS_MAX,
  REMOTE_KEYS_FAILURE_SECONDS,
  REMOTE_KEYS_FRESH_SECONDS_MAX,
  REMOTE_KEYS_FRESH_SECONDS_MIN,
  REMOTE_KEYS_STALE_SECONDS_MAX,
  REMOTE_KEYS_UNKNOWN_ID_SECONDS_MIN,
} from './limits.ts';

/** The keys of somebody else cannot be read, so nothing of theirs can be believed or refused. An outage, not a refusal. */
export class KeysUnreachable extends Error {
  override readonly name = 'KeysUnreachable';
}

interface KeySet {
  readonly keys: readonly JWK[];
  readonly find: JWTVerifyGetKey;
  readonly kids: ReadonlySet<string | undefined>;
  readonly readAtMs: number;
  readonly freshMs: number;
}

interface Entry {
  known?: KeySet;
  failedAtMs?: number;
  pending?: Promise<KeySet>;
}

/**
 * The published keys of others, each set read by safe fetch when it is needed, kept for a bounded time, and read again for
 * a key id that it does not have. Rejects with `KeysUnreachable` when which keys there are is not known.
 */
export class RemoteKeySets {
  readonly #fetch: SafeFetch;
  readonly #log: Logger;
  readonly #entries = new Map<string, Entry>();

  constructor(fetch: SafeFetch, log: Logger) {
    this.#fetch = fetch;
    this.#log = log;
  }

  /** For jose. */
  finder(location: KeyLocation): JWTVerifyGetKey {
    return async (header, token) => (await this.#setFor(location, header.kid)).find(header, token);
  }

  /** All keys of a set that is read again if it lacks `kid`. */
  async keys(location: KeyLocation, kid: string | undefined): Promise<readonly JWK[]> {
    return (await this.#setFor(location, kid)).keys;
  }

  async #setFor(location: KeyLocation, kid: string | undefined): Promise<KeySet> {
    const entry = this.#entry(location);
    const { known } = entry;
    const nowMs = performance.now();
    const hasKey = known !== undefined && (kid === undefined || known.kids.has(kid));
    if (known !== undefined) {
      const ageMs = nowMs - known.readAtMs;
      if (hasKey ? ageMs < known.freshMs : ageMs < REMOTE_KEYS_UNKNOWN_ID_SECONDS_MIN * 1000) return known;
    }
    try {
      return await this.#read(location, entry, nowMs);
    } catch (error) {
      const isUsable = hasKey && nowMs - known!.readAtMs < REMOTE_KEYS_STALE_SECONDS_MAX * 1000;
      if (isUsable) return known!;
      throw error;
    }
  }

  #entry(location: KeyLocation): Entry {
    const name = `${location.format} ${location.jwksUri ?? `discovery ${location.issuer}`}`;
    const entry = this.#entries.get(name) ?? {};
    // Moved to the end, so that the one that was not asked for longest goes first.
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    if (this.#entries.size > REMOTE_KEY_SETS_MAX) this.#entries.delete(this.#entries.keys().next().value!);
    return entry;
  }

  #read(location: KeyLocation, entry: Entry, nowMs: number): Promise<KeySet> {
    const { failedAtMs } = entry;
    if (failedAtMs !== undefined && nowMs - failedAtMs < REMOTE_KEYS_FAILURE_SECONDS * 1000) {
      return Promise.reject(new KeysUnreachable(`The keys of ${location.issuer} could not be read a moment ago.`));
    }
    entry.pending ??= this.#load(location)
      .then(
        (known) => {
          entry.known = known;
          delete entry.failedAtMs;
          return known;
        },
        (error: unknown) => {
          entry.failedAtMs = performance.now();
          this.#log.warn(
            { err: error, issuer: location.issuer },
            'the published keys of another system cannot be read',
          );
          throw new KeysUnreachable(`The keys of ${location.issuer} cannot be read.`, { cause: error });
        },
      )
      .finally(() => {
        delete entry.pending;
      });
    return entry.pending;
  }

  async #load(location: KeyLocation): Promise<KeySet> {
    const readAtMs = performance.now();
    const address = location.jwksUri ?? (await this.#discover(location.issuer));
    const { document, headers } = await this.#json(address);
    const keys = readKeySet(document, location.format);
    return {
      keys,
      find: createLocalJWKSet({ keys: [...keys] }),
      kids: new Set(keys.map((key) => key.kid)),
      readAtMs,
      freshMs: freshSeconds(headers['cache-control'] ?? '') * 1000,
    };
  }

  /** OpenID Connect Discovery 1.0 §4.1 and §4.3. */
  async #discover(issuer: string): Promise<string> {
    const { document } = await this.#json(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
    const { issuer: named, jwks_uri: address } = (document ?? {}) as { issuer?: unknown; jwks_uri?: unknown };
    if (named !== issuer) throw new TypeError(`the discovery document belongs to another issuer than ${issuer}`);
    if (typeof address !== 'string') throw new TypeError('the discovery document names no jwks_uri');
    return address;
  }

  async #json(address: string): Promise<{ document: unknown; headers: Readonly<Record<string, string>> }> {
    const answer = await this.#fetch(address, {
      headers: { accept: 'application/json' },
      bytesMax: REMOTE_KEY_SET_BYTES_MAX,
    });
    if (answer.status !== 200) throw new TypeError(`${new URL(address).host} answered ${answer.status}`);
    return { document: JSON.parse(answer.body.toString('utf8')), headers: answer.headers };
  }
}

/** RFC 9111 §5.2.2.1, within our own bounds: a publisher that says "for a year" would keep a revoked key alive. */
function freshSeconds(cacheControl: string): number {
  const asked = /(?:^|[\s,])max-age=(\d{1,9})/.exec(cacheControl)?.[1];
  const seconds = asked === undefined ? REMOTE_KEYS_FRESH_SECONDS_MIN : Number(asked);
  return Math.min(Math.max(seconds, REMOTE_KEYS_FRESH_SECONDS_MIN), REMOTE_KEYS_FRESH_SECONDS_MAX);
}
