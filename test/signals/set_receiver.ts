import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLocalJWKSet, type JWK, type JWTPayload, jwtVerify } from 'jose';

export interface ReceivedSet {
  readonly jti: string;
  readonly claims: JWTPayload & { readonly sub_id: Record<string, unknown>; readonly events: Record<string, object> };
  readonly headers: IncomingMessage['headers'];
}

/** A receiver of somebody else (RFC 8935): real HTTP, and it verifies with jose what it is given. */
export class SetReceiver {
  readonly received: ReceivedSet[] = [];
  /** What to answer; one that answers nothing lets the transmitter hang. */
  answer: (response: ServerResponse, received: ReceivedSet) => void = (response) => response.writeHead(202).end();
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(
    keys: () => Promise<readonly JWK[]> | readonly JWK[],
    expected: { readonly issuer: string; readonly audience: string },
  ): Promise<SetReceiver> {
    const server = createServer();
    const receiver = new SetReceiver(server);
    const handle = async (request: IncomingMessage, response: ServerResponse) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const jwks = createLocalJWKSet({ keys: [...(await keys())] });
      const token = Buffer.concat(chunks).toString();
      const { payload } = await jwtVerify(token, jwks, { ...expected, typ: 'secevent+jwt', algorithms: ['ES256'] });
      if (request.headers['content-type'] !== 'application/secevent+jwt') throw new Error('not a SET by its type');
      const claims = payload as ReceivedSet['claims'];
      const received = { jti: claims.jti!, claims, headers: request.headers };
      receiver.received.push(received);
      receiver.answer(response, received);
    };
    server.on('request', (request, response) => {
      handle(request, response).catch((error: unknown) => {
        response.writeHead(400, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ err: 'invalid_request', description: String(error) }));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `http://${this.host}/events`;
  }

  jtis(): string[] {
    return this.received.map(({ jti }) => jti);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** The id of the task, or person, that an event is about. */
export function subjectId({ claims }: Pick<ReceivedSet, 'claims'>): string {
  const { format, id, sub, session } = claims.sub_id as Record<string, string> & { session?: { id: string } };
  return format === 'complex' ? String(session?.id) : String(id ?? sub);
}
