import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

const ACCOUNT = 'https://schemas.openid.net/secevent/risc/event-type/';
export const EVENTS = {
  disabled: `${ACCOUNT}account-disabled`,
  purged: `${ACCOUNT}account-purged`,
  enabled: `${ACCOUNT}account-enabled`,
  sessionRevoked: 'https://schemas.openid.net/secevent/caep/event-type/session-revoked',
} as const;

export interface SetToSign {
  readonly event: string;
  readonly sub_id?: unknown;
  readonly sub?: string;
  readonly event_claims?: object;
  readonly claims?: Record<string, unknown>;
  readonly header?: Record<string, unknown>;
  readonly key?: CryptoKey;
}

/** Somebody else's identity provider: publishes keys over real HTTP, and signs what a test wants, true or not. */
export class IdentityProvider {
  readonly kid = randomUUID();
  privateKey!: CryptoKey;
  publicJwk!: JWK;
  isDown = false;
  keyReads = 0;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(): Promise<IdentityProvider> {
    const server = createServer();
    const provider = new IdentityProvider(server);
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    provider.privateKey = privateKey;
    provider.publicJwk = { ...(await exportJWK(publicKey)), kid: provider.kid, alg: 'ES256', use: 'sig' };
    server.on('request', (_request, response) => {
      provider.keyReads += 1;
      if (provider.isDown) return void response.writeHead(503).end();
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ keys: [provider.publicJwk] }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return provider;
  }

  get issuer(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get jwksUri(): string {
    return `${this.issuer}/jwks`;
  }

  sign({ event, sub_id, sub, event_claims = {}, claims = {}, header = {}, key }: SetToSign): Promise<string> {
    return new SignJWT({
      iss: this.issuer,
      aud: 'countersign',
      iat: Math.floor(Date.now() / 1000),
      jti: randomUUID(),
      sub_id: sub_id ?? { format: 'iss_sub', iss: this.issuer, sub },
      events: { [event]: event_claims },
      ...claims,
    })
      .setProtectedHeader({ alg: 'ES256', typ: 'secevent+jwt', kid: this.kid, ...header })
      .sign(key ?? this.privateKey);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
