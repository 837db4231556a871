import { createDpopProof, type DpopKey, dpopThumbprint } from '../wire/dpop_rfc9449.ts';

/** Proves possession of one key (RFC 9449), with the nonces that servers ask for. */
export class Prover {
  readonly #key: () => Promise<DpopKey>;
  /** By origin: each server has nonces of its own (§8). */
  readonly #nonces = new Map<string, string>();

  constructor(key: () => Promise<DpopKey>) {
    this.#key = key;
  }

  async proof(method: string, url: string, accessToken?: string): Promise<string> {
    const nonce = this.#nonces.get(new URL(url).origin);
    return createDpopProof(await this.#key(), { htm: method, htu: url, accessToken, nonce });
  }

  /** Keeps the nonce that came with an answer; true if it is another one than the request was made with. */
  learn(url: string, headers: Headers): boolean {
    const nonce = headers.get('dpop-nonce');
    const { origin } = new URL(url);
    if (nonce === null || this.#nonces.get(origin) === nonce) return false;
    this.#nonces.set(origin, nonce);
    return true;
  }

  async thumbprint(): Promise<string> {
    return dpopThumbprint((await this.#key()).publicJwk);
  }
}
