import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { importJWK, type JWK, SignJWT } from 'jose';
import type { ScriptedPerson } from '../../examples/demo/scripted_person.ts';
import { generateAgentKey } from '../../src/agent/index.ts';
import { createDpopProof, type DpopKey, generateDpopKey } from '../../src/wire/dpop_rfc9449.ts';

/** No request of a client lasts longer than this, whatever fails behind the server. */
const ANSWER_MS_MAX = 30_000;
const REDIRECT_URI = 'http://127.0.0.1:5555/callback';

export interface TokenAnswer {
  readonly status: number;
  readonly error?: string;
  readonly access_token?: string;
  readonly refresh_token?: string;
}

/** The token requests of an interactive client and of a service agent, byte for byte, so that each can be sent again. */
export class OAuthTrips {
  readonly #issuer: string;
  readonly #operator: ScriptedPerson;
  readonly #resource: string;
  readonly #key: JWK;
  readonly #agentId: string;
  readonly #dpopKey: DpopKey;

  private constructor(
    at: { readonly issuer: string; readonly operator: ScriptedPerson; readonly resource: string },
    own: { readonly key: JWK; readonly agentId: string; readonly dpopKey: DpopKey },
  ) {
    this.#issuer = at.issuer;
    this.#operator = at.operator;
    this.#resource = at.resource;
    this.#key = own.key;
    this.#agentId = own.agentId;
    this.#dpopKey = own.dpopKey;
  }

  static async open(at: {
    readonly issuer: string;
    readonly operator: ScriptedPerson;
    readonly resource: string;
  }): Promise<OAuthTrips> {
    const { key, publicJwk } = await generateAgentKey();
    const fields = { name: 'Another agent', purpose: 'tests', jwks: JSON.stringify({ keys: [publicJwk] }) };
    const page = await at.operator.submit(await at.operator.open('/agents'), { action: /\/agents$/ }, fields);
    const agentId = /agt_[a-z2-7]{26}/.exec(page.url)![0];
    return new OAuthTrips(at, { key: key as unknown as JWK, agentId, dpopKey: await generateDpopKey() });
  }

  async post(path: string, fields: Record<string, string>, headers: Record<string, string> = {}): Promise<TokenAnswer> {
    const body = new URLSearchParams(fields);
    const response = await fetch(`${this.#issuer}${path}`, {
      ...{ method: 'POST', body, headers },
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
    const text = await response.text();
    return { ...(text === '' ? {} : JSON.parse(text)), status: response.status };
  }

  redeem(code: Record<string, string>): Promise<TokenAnswer> {
    return this.post('/token', code);
  }

  refresh(token: string | undefined): Promise<TokenAnswer> {
    return this.post('/token', { grant_type: 'refresh_token', client_id: 'editor', refresh_token: token! });
  }

  /** A person's trip through consent, to a code that waits to be redeemed. */
  async obtainCode(): Promise<Record<string, string>> {
    const verifier = randomBytes(32).toString('base64url');
    const parameters = new URLSearchParams({
      ...{ client_id: 'editor', response_type: 'code', redirect_uri: REDIRECT_URI, state: 'state' },
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      resource: this.#resource,
    });
    const consent = await this.#operator.open(`/authorize?${parameters}`);
    const form = { action: /\/consent$/, having: { decision: 'allow' } };
    const left = await this.#operator.submit(consent, form, { purpose: 'Keep the ledger', seconds: '3600' });
    const code = new URL(left.url).searchParams.get('code');
    if (code === null) throw new Error(`No code: ${left.url}`);
    const fields = { grant_type: 'authorization_code', client_id: 'editor', redirect_uri: REDIRECT_URI };
    return { ...fields, code, code_verifier: verifier };
  }

  /** A request of the agent that is authenticated by a new client assertion. */
  async assertion(): Promise<Record<string, string>> {
    const now = Math.floor(Date.now() / 1000);
    const own = this.#agentId;
    const claims = { iss: own, sub: own, aud: this.#issuer, iat: now, exp: now + 300, jti: randomUUID() };
    const key = await importJWK(this.#key, 'ES256');
    return {
      ...{ grant_type: 'client_credentials', resource: `${this.#issuer}/api/v1`, scope: 'tasks' },
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: await new SignJWT(claims).setProtectedHeader({ alg: 'ES256' }).sign(key),
    };
  }

  proof(): Promise<string> {
    return createDpopProof(this.#dpopKey, { htm: 'POST', htu: `${this.#issuer}/token` });
  }

  /** A token for a new assertion, as agents get one: asked for once more if the memory of used ones began anew. */
  async newToken(dpop?: string): Promise<TokenAnswer> {
    const headers = dpop === undefined ? {} : { dpop };
    const first = await this.post('/token', await this.assertion(), headers);
    return first.error === 'invalid_client' ? this.post('/token', await this.assertion(), headers) : first;
  }

  /** A token for a new assertion and a new proof, as guards get one: made again if the memory of used ones began anew. */
  async freshToken(): Promise<TokenAnswer> {
    const ask = async () => this.post('/token', await this.assertion(), { dpop: await this.proof() });
    const first = await ask();
    return ['invalid_client', 'invalid_dpop_proof'].includes(first.error ?? '') ? ask() : first;
  }
}
