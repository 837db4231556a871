import { createHash, randomBytes } from 'node:crypto';

interface Cookie {
  readonly value: string;
  readonly path: string;
}

/** A browser over plain HTTP: cookies by path, redirects only when told, forms with our own Origin. */
export class OAuthBrowser {
  readonly #cookies = new Map<string, Cookie>();
  readonly origin: string;

  constructor(origin: string) {
    this.origin = origin;
  }

  setCookie(name: string, value: string, path = '/'): void {
    this.#cookies.set(`${name};${path}`, { value, path });
  }

  cookieValue(name: string, path = '/'): string | undefined {
    return this.#cookies.get(`${name};${path}`)?.value;
  }

  cookieNames(): string[] {
    return [...this.#cookies.keys()].map((key) => key.split(';')[0]!);
  }

  async get(address: string, headers: Record<string, string> = {}): Promise<Response> {
    return this.#send(address, { headers });
  }

  async post(address: string, fields: Record<string, string>, headers: Record<string, string> = {}): Promise<Response> {
    const body = new URLSearchParams(fields);
    return this.#send(address, { method: 'POST', body, headers: { origin: this.origin, ...headers } });
  }

  /** Follows redirects inside our origin; the last answer, and where it leads if it leaves the origin. */
  async follow(response: Response): Promise<{ response: Response; left: URL | null }> {
    let current = response;
    for (let hops = 0; hops < 10; hops += 1) {
      const location = current.headers.get('location');
      if (location === null || current.status < 300 || current.status > 399) return { response: current, left: null };
      const target = new URL(location, current.url || this.origin);
      if (target.origin !== this.origin) return { response: current, left: target };
      current = await this.get(target.href);
    }
    throw new Error('More than 10 redirects.');
  }

  async #send(address: string, init: RequestInit): Promise<Response> {
    const url = new URL(address, this.origin);
    const pairs = [...this.#cookies]
      .filter(
        ([, { path }]) => url.pathname === path || url.pathname.startsWith(path.endsWith('/') ? path : `${path}/`),
      )
      .map(([key, { value }]) => `${key.split(';')[0]}=${value}`);
    const headers = {
      ...(init.headers as Record<string, string>),
      ...(pairs.length > 0 && { cookie: pairs.join('; ') }),
    };
    const response = await fetch(url, { ...init, headers, redirect: 'manual' });
    for (const header of response.headers.getSetCookie()) this.#keep(header);
    return response;
  }

  #keep(header: string): void {
    const [pair, ...attributes] = header.split(';').map((part) => part.trim());
    const equals = pair!.indexOf('=');
    const name = pair!.slice(0, equals);
    const value = pair!.slice(equals + 1);
    const path = attributes.find((attribute) => /^path=/i.test(attribute))?.slice('path='.length) ?? '/';
    if (value === '' || attributes.some((attribute) => /^expires=Thu, 01 Jan 1970/i.test(attribute))) {
      this.#cookies.delete(`${name};${path}`);
    } else this.setCookie(name, value, path);
  }
}

export interface Pkce {
  readonly verifier: string;
  readonly challenge: string;
}

export function newPkce(): Pkce {
  const verifier = randomBytes(32).toString('base64url');
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') };
}
