import type { JWK } from 'jose';
import { buildLease, type LeaseContent, type Revocation } from '../../src/wire/lease.ts';
import { generatePrivateKeyJwk, importSigningKey } from '../../src/wire/signing_key.ts';

interface Query {
  readonly nonce: string;
  readonly seconds: number;
  readonly cursor: { readonly epoch: string; readonly position: number } | null;
}

/** The leases of the fake issuer: a log in memory, and every way of giving a lease that a test wants to see refused. */
export class FakeLeases {
  readonly #key: JWK;
  readonly publicJwk: JWK;
  readonly #log: Revocation[] = [];
  readonly #waiting = new Set<() => void>();
  #isWoken = false;
  epoch = 'epoch-one';
  /** Another length than that of the log, for a database that was restored. */
  position: number | null = null;
  /** The ids of the keys that verify tokens. */
  keys: string[] = [];
  /** How far the server's clock is ahead. */
  clockAheadMs = 0;
  lifetimeSeconds = 60;
  /** Changes the content before it is signed, or the signed text after. */
  forge: (content: LeaseContent) => LeaseContent = (content) => content;
  replace: (lease: string) => string | Promise<string> = (lease) => lease;
  signWith: JWK | null = null;
  /** Silent as a server whose network is cut: it takes the request and never answers. */
  isMute = false;
  given = 0;
  readonly asked: Query[] = [];

  private constructor(key: JWK, publicJwk: JWK) {
    this.#key = key;
    this.publicJwk = publicJwk;
  }

  static async create(): Promise<FakeLeases> {
    const jwk = await generatePrivateKeyJwk();
    const { publicJwk, thumbprint } = await importSigningKey(jwk);
    return new FakeLeases({ ...jwk, kid: thumbprint, alg: 'ES256' }, publicJwk);
  }

  revoke(what: string, id: string, at = Date.now() / 1000): void {
    this.#log.push({ what, id, at });
    this.wake();
  }

  /** Ends the wait that is under way, or else the next one. */
  wake(): void {
    this.#isWoken = this.#waiting.size === 0;
    for (const wake of this.#waiting) wake();
  }

  get size(): number {
    return this.position ?? this.#log.length;
  }

  async answer(resource: string, issuer: string, url: URL): Promise<string | null> {
    const text = (name: string) => url.searchParams.get(name);
    const epoch = text('epoch');
    const cursor = epoch === null ? null : { epoch, position: Number(text('position')) };
    const query = { nonce: text('nonce')!, seconds: Number(text('seconds')), cursor };
    this.asked.push(query);
    const startedAt = performance.now();
    const isKnown = cursor !== null && cursor.epoch === this.epoch && cursor.position <= this.size;
    if (isKnown && cursor.position === this.size) await this.#wait(query.seconds * 1000);
    if (this.isMute) return null;
    const isStillKnown = isKnown && cursor.epoch === this.epoch && cursor.position <= this.size;
    const content: LeaseContent = {
      iss: issuer,
      aud: resource,
      nonce: query.nonce,
      epoch: this.epoch,
      serial: this.size,
      position: this.size,
      head: `root-${this.size}`,
      waited: (performance.now() - startedAt) / 1000,
      revocations: isStillKnown ? this.#log.slice(cursor.position) : [...this.#log],
      ...(cursor !== null && !isStillKnown ? { resync: true as const } : {}),
      keys: this.keys,
    };
    const serverTime = new Date(Date.now() + this.clockAheadMs);
    const signing = { key: this.signWith ?? this.#key, serverTime, lifetimeSeconds: this.lifetimeSeconds };
    const lease = await this.replace(await buildLease(this.forge(content), signing));
    this.given += 1;
    return lease;
  }

  async #wait(ms: number): Promise<void> {
    if (this.#isWoken) {
      this.#isWoken = false;
      return;
    }
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#waiting.delete(end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      this.#waiting.add(end);
    });
  }
}
