import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { newId } from '../../src/kernel/ids.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { actionDigest } from '../../src/wire/action_digest.ts';
import { clientAssertion } from '../../src/wire/client_assertion_rfc7523.ts';
import { createDpopProof, type DpopKey, generateDpopKey } from '../../src/wire/dpop_rfc9449.ts';
import { GUARD_API_PATH, GUARD_API_SCOPE, REGISTRATION_PATH } from '../../src/wire/guard_api.ts';
import { manifestDigest, type ToolDefinition } from '../../src/wire/manifest.ts';
import { generatePrivateKeyJwk, importSigningKey, type SigningKey } from '../../src/wire/signing_key.ts';
import { signTxnChallenge } from '../../src/wire/txn_challenge_rosomakho_00.ts';

const text = { type: 'string' } as const;
export const READ: ToolDefinition = { name: 'read_note', inputSchema: { type: 'object', properties: { path: text } } };
export const WRITE: ToolDefinition = {
  name: 'write_note',
  inputSchema: { type: 'object', properties: { path: text, content: text } },
};

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: answers are compared with expectations member by member.
  readonly body: any;
}

export async function answerOf(response: Response): Promise<Answer> {
  const body = await response.text();
  return { status: response.status, headers: response.headers, body: body.startsWith('{') ? JSON.parse(body) : body };
}

export interface RequestOptions {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly body?: unknown;
  /** Sent as it is instead of `body`. */
  readonly raw?: string;
  readonly contentType?: string;
  readonly token?: string | null;
  readonly scheme?: string;
  /** A proof instead of the right one; null for none. */
  readonly proof?: string | null;
}

/**
 * A guard without our guard library: it registers, serves the metadata that proves its address, and sends what a test
 * wants at the interface of guards, right or wrong.
 */
export class RawGuard {
  readonly issuer: string;
  readonly name: string;
  readonly resource: string;
  readonly key: SigningKey;
  readonly dpopKey: DpopKey;
  readonly deployment = '{"kind":"in_process","name":"notes","version":"1"}';
  readonly instance = newId('gin');
  /** What `/.well-known/oauth-protected-resource/mcp` answers; tests change it. */
  metadata: { status: number; headers?: Record<string, string>; body: string } = { status: 404, body: '' };
  toolServerId = '';
  clientId = '';
  nonce = '';
  #token: string | undefined;
  readonly #close: () => Promise<void>;

  private constructor(
    at: Pick<RawGuard, 'issuer' | 'name' | 'resource' | 'key' | 'dpopKey'>,
    close: () => Promise<void>,
  ) {
    this.issuer = at.issuer;
    this.name = at.name;
    this.resource = at.resource;
    this.key = at.key;
    this.dpopKey = at.dpopKey;
    this.#close = close;
  }

  static async listen(issuer: string, name: string): Promise<RawGuard> {
    const http = createServer((_request, response) => {
      const { status, headers = {}, body } = guard.metadata;
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const resource = `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`;
    const close = async () => {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    };
    const key = await importSigningKey(await generatePrivateKeyJwk());
    const guard = new RawGuard({ issuer, name, resource, key, dpopKey: await generateDpopKey() }, close);
    return guard;
  }

  close(): Promise<void> {
    return this.#close();
  }

  registration(changes: JsonObject = {}): JsonObject {
    const { kty, crv, x, y } = this.key.publicJwk;
    return {
      name: this.name,
      resource: this.resource,
      deployment: this.deployment,
      jwk: { kty, crv, x: x!, y: y! },
      tools: [READ, WRITE],
      proposed_risks: { read_note: 'read', write_note: 'write' },
      ...changes,
    } as JsonObject;
  }

  async askToRegister(changes: JsonObject = {}): Promise<Answer> {
    return postJson(`${this.issuer}${REGISTRATION_PATH}`, this.registration(changes));
  }

  /** Registers and serves the proof of control. */
  async register(): Promise<void> {
    const answer = await this.askToRegister();
    if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
    this.toolServerId = answer.body.tool_server;
    this.clientId = answer.body.client_id;
    this.nonce = answer.body.nonce;
    this.prove();
  }

  prove(changes: JsonObject = {}): void {
    const proof = { authorization_servers: [this.issuer], countersign_registration: this.nonce, ...changes };
    this.metadata = { status: 200, body: JSON.stringify({ resource: this.resource, ...proof }) };
  }

  /** A token of the guard; kept, unless something else is asked for. */
  async token(changes: Record<string, string> = {}): Promise<string> {
    if (Object.keys(changes).length > 0) return this.#obtain(changes);
    this.#token ??= await this.#obtain({});
    return this.#token;
  }

  async #obtain(changes: Record<string, string>): Promise<string> {
    const { body } = await this.askForToken(changes);
    if (body.access_token === undefined) throw new Error(JSON.stringify(body));
    return body.access_token;
  }

  async askForToken(changes: Record<string, string> = {}): Promise<Answer> {
    const url = `${this.issuer}/token`;
    const form = new URLSearchParams({
      grant_type: 'client_credentials',
      scope: GUARD_API_SCOPE,
      resource: `${this.issuer}${GUARD_API_PATH}`,
      ...(await clientAssertion(this.key, this, new Date())),
      ...changes,
    });
    const dpop = await createDpopProof(this.dpopKey, { htm: 'POST', htu: url });
    return answerOf(await fetch(url, { method: 'POST', body: form, headers: { dpop } }));
  }

  async proof(path: string, changes: { method?: string; accessToken?: string; key?: DpopKey; now?: Date } = {}) {
    const { method = 'POST', accessToken = await this.token(), key = this.dpopKey, now = new Date() } = changes;
    return createDpopProof(key, { htm: method, htu: `${this.issuer}${path}`, accessToken, now });
  }

  async send(path: string, options: RequestOptions = {}): Promise<Answer> {
    const { method = 'POST', token = await this.token(), scheme = 'DPoP', contentType = 'application/json' } = options;
    const accessToken = token ?? '';
    const proof = options.proof === undefined ? await this.proof(path, { method, accessToken }) : options.proof;
    const body = options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
    const response = await fetch(`${this.issuer}${path}`, {
      method,
      headers: {
        ...(token === null ? {} : { authorization: `${scheme} ${token}` }),
        ...(proof === null ? {} : { dpop: proof }),
        ...(body === undefined ? {} : { 'content-type': contentType }),
      },
      ...(body === undefined ? {} : { body }),
    });
    return answerOf(response);
  }

  /** A call as this guard describes it. */
  describe(name: string, args: JsonObject, changes: JsonObject = {}) {
    const tool = [READ, WRITE].find((one) => one.name === name);
    const action = {
      method: 'tools/call',
      name,
      manifest_digest: tool === undefined ? null : manifestDigest(tool),
      arguments: args,
      input_responses: null,
      facts: {},
      ...changes,
    };
    const { issuer, resource, deployment } = this;
    return { ...action, action_digest: actionDigest({ ...action, issuer, resource, deployment } as never) };
  }

  question(callerToken: string, name: string, args: JsonObject, changes: JsonObject = {}) {
    return {
      caller: { access_token: callerToken, dpop_jkt: null },
      action: this.describe(name, args),
      guard_instance: this.instance,
      ...changes,
    };
  }

  signChallenge(txn: string, action: { name: string; action_digest: string }): Promise<string> {
    return signTxnChallenge(
      {
        iss: this.resource,
        aud: this.issuer,
        jti: newId('att'),
        txn,
        authorization_details: [
          { type: 'mcp_tool_call', resource: this.resource, tool: action.name, action_digest: action.action_digest },
        ],
        reason: 'A person must approve this call.',
      },
      { key: this.key.privateKey, kid: this.key.thumbprint, now: new Date(), lifetimeSeconds: 300 },
    );
  }
}

export async function postJson(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const init = { method: 'POST', headers: { 'content-type': 'application/json', ...headers } };
  return answerOf(await fetch(url, { ...init, body: typeof body === 'string' ? body : JSON.stringify(body) }));
}
