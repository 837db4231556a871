import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { calculateJwkThumbprint, createLocalJWKSet, type JWK, jwtVerify, SignJWT } from 'jose';
import { newId } from '../../src/kernel/ids.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { verifyDpopProof } from '../../src/wire/dpop_rfc9449.ts';
import {
  type actionSchema,
  type EvaluateAnswer,
  evaluateRequestSchema,
  GUARD_API_PATH,
  outcomeRequestSchema,
  REGISTRATION_PATH,
  redeemRequestSchema,
  registrationRequestSchema,
  type StepUpState,
} from '../../src/wire/guard_api.ts';
import { type RefusalCode, refusal, refusalBody } from '../../src/wire/refusals.ts';
import { generatePrivateKeyJwk, importSigningKey, type SigningKey } from '../../src/wire/signing_key.ts';
import { verifyTxnChallenge } from '../../src/wire/txn_challenge_rosomakho_00.ts';
import { FakeLeases } from './fake_leases.ts';

export interface FakeStepUp {
  readonly id: string;
  readonly key: string;
  readonly actionDigest: string;
  readonly arguments: JsonObject;
  state: StepUpState;
  reason: string | null;
  usesLeft: number;
  redemption: { id: string; attempt: string; outcome: 'done' | 'failed' | 'unknown'; result: JsonObject | null } | null;
  waiters: (() => void)[];
}

/** What the guard asked for, in order: the last part of the path. */
type Asked = { readonly what: string; readonly body: Record<string, unknown> };

/**
 * The server's side of the guard's interface, small and in memory, over real HTTP. It checks what the real one checks of
 * a guard (client assertion, DPoP binding and proofs, challenge signature) and keeps the same order of answers.
 */
export class FakeIssuer {
  readonly #server: Server;
  #key: SigningKey;
  /** What `/jwks` answers, beside the key of leases. */
  published: JWK[];
  keyReads = 0;
  readonly leases: FakeLeases;
  #guardKeys: JWK[] = [];
  url = '';
  readonly stepUps = new Map<string, FakeStepUp>();
  readonly asked: Asked[] = [];
  readonly gated = new Set<string>();
  readonly denied = new Map<string, RefusalCode>();
  visible: string[] = [];
  scopeChallenges = false;
  registrationState: 'pending' | 'active' = 'active';
  resource = '';
  /** Answers these paths with 503, or never. */
  failing = new Set<string>();
  beforeEvaluateAnswer: (() => Promise<void>) | null = null;
  /** Called before a redemption is answered; may lose the answer. */
  beforeRedeemAnswer: (() => 'answer' | 'drop') | null = null;

  private constructor(server: Server, key: SigningKey, leases: FakeLeases) {
    this.#server = server;
    this.#key = key;
    this.published = [key.publicJwk];
    this.leases = leases;
    leases.keys = [key.thumbprint];
  }

  /** Signs tokens with a new key from now on; who publishes it, and when, is the test's to say. */
  async signWithNewKey(): Promise<SigningKey> {
    this.#key = await importSigningKey(await generatePrivateKeyJwk());
    return this.#key;
  }

  static async start(): Promise<FakeIssuer> {
    const server = createServer();
    const key = await importSigningKey(await generatePrivateKeyJwk());
    const issuer = new FakeIssuer(server, key, await FakeLeases.create());
    server.on('request', (request, response) => {
      void issuer.#serve(request, response).catch((error: unknown) => {
        response.writeHead(500).end(String(error));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    issuer.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return issuer;
  }

  /** As if the process that serves them had died; the next request finds another one. */
  dropConnections(): void {
    this.#server.closeAllConnections();
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** An access token for the guarded server, as the provider makes them. */
  async token(
    changes: { claims?: JsonObject; typ?: string; seconds?: number; key?: SigningKey } = {},
  ): Promise<string> {
    const key = changes.key ?? this.#key;
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({
      iss: this.url,
      sub: 'prs_requester',
      aud: this.resource,
      client_id: 'agent-client',
      jti: newId('att'),
      iat: now,
      exp: now + (changes.seconds ?? 300),
      scope: 'mcp:tools',
      task: { id: 'tsk_one', root: 'tsk_one' },
      act: { sub: 'agt_one', client_id: 'agent-client' },
      ...changes.claims,
    })
      .setProtectedHeader({ alg: 'ES256', typ: changes.typ ?? 'at+jwt', kid: key.thumbprint })
      .sign(key.privateKey);
  }

  open(): FakeStepUp[] {
    return [...this.stepUps.values()].filter((stepUp) => stepUp.state === 'open');
  }

  async nextOpen(): Promise<FakeStepUp> {
    const until = Date.now() + 5_000;
    while (Date.now() < until) {
      const found = this.open()[0];
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error('No step-up was opened.');
  }

  decide(stepUp: FakeStepUp, state: StepUpState, reason: string | null = null): void {
    stepUp.state = state;
    stepUp.reason = reason;
    for (const wake of stepUp.waiters.splice(0)) wake();
  }

  count(what: string): number {
    return this.asked.filter((asked) => asked.what === what).length;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, this.url);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const answer = (body: object, status = 200) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    if ([...this.failing].some((path) => url.pathname.includes(path))) return answer({ error: 'down' }, 503);
    if (url.pathname === '/.well-known/oauth-authorization-server') {
      return answer({ issuer: this.url, token_endpoint: `${this.url}/token`, jwks_uri: `${this.url}/jwks` });
    }
    if (url.pathname === '/jwks') {
      this.keyReads += 1;
      return answer({ keys: [...this.published, this.leases.publicJwk] });
    }
    if (url.pathname === '/token') return answer(await this.#issueGuardToken(request, new URLSearchParams(text)));
    const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
    if (url.pathname === REGISTRATION_PATH) return answer(await this.#register(body), 201);
    await this.#authenticate(request, url);
    const what = url.pathname.slice(GUARD_API_PATH.length + 1);
    if (what === 'lease') {
      const lease = await this.leases.answer(this.resource, this.url, url);
      if (lease !== null) answer({ lease });
      return;
    }
    this.asked.push({ what, body });
    await this.#answerGuard(what, url, body, answer, response);
  }

  async #issueGuardToken(request: IncomingMessage, form: URLSearchParams): Promise<JsonObject> {
    const proof = await verifyDpopProof(request.headers.dpop, {
      htm: 'POST',
      htu: `${this.url}/token`,
      now: new Date(),
    });
    if (!proof.ok) throw new Error(proof.refusal.message);
    await jwtVerify(form.get('client_assertion')!, createLocalJWKSet({ keys: this.#guardKeys }), {
      audience: this.url,
      issuer: 'guard-client',
      subject: 'guard-client',
    });
    const access_token = await this.token({
      claims: { aud: form.get('resource')!, client_id: 'guard-client', scope: 'guard', cnf: { jkt: proof.value.jkt } },
    });
    return { access_token, token_type: 'DPoP', expires_in: 300 };
  }

  async #register(body: Record<string, unknown>): Promise<JsonObject> {
    const request = registrationRequestSchema.parse(body);
    this.resource = request.resource;
    const kid = await calculateJwkThumbprint(request.jwk as JWK);
    this.#guardKeys = [{ ...request.jwk, alg: 'ES256', kid } as unknown as JWK];
    this.asked.push({ what: 'registrations', body });
    return {
      tool_server: 'tsv_one',
      client_id: 'guard-client',
      state: this.registrationState,
      nonce: 'nonce-one',
      console_url: `${this.url}/tool-servers/tsv_one`,
    };
  }

  async #authenticate(request: IncomingMessage, url: URL): Promise<void> {
    const token = /^DPoP (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const { payload } = await jwtVerify(token, await this.#public(), {
      audience: `${this.url}${GUARD_API_PATH}`,
      typ: 'at+jwt',
    });
    const proof = await verifyDpopProof(request.headers.dpop, {
      htm: request.method!,
      htu: `${this.url}${url.pathname}`,
      accessToken: token,
      jkt: (payload.cnf as { jkt: string }).jkt,
      now: new Date(),
    });
    if (!proof.ok) throw new Error(proof.refusal.message);
  }

  async #public() {
    return createLocalJWKSet({ keys: [...new Set([...this.published, this.#key.publicJwk])] });
  }

  async #answerGuard(
    what: string,
    url: URL,
    body: Record<string, unknown>,
    answer: (body: object, status?: number) => void,
    response: ServerResponse,
  ): Promise<void> {
    const refuse = (code: RefusalCode, status: number) =>
      answer(refusalBody(refusal(code, `Refused: ${code}.`)), status);
    const [, id, verb] = /^(?:step-ups|redemptions)\/([^/]+)\/(\w+)$/.exec(what) ?? [];
    if (what === 'evaluate') {
      const decided = this.#evaluate(evaluateRequestSchema.parse(body));
      await this.beforeEvaluateAnswer?.();
      return answer(decided);
    }
    if (what === 'visible-tools') return answer({ principal: PRINCIPAL, tools: this.visible });
    if (what === 'manifest') return answer({ tool_server: 'tsv_one', accepted: 1, waiting: [] });
    if (what === 'challenges') {
      const found = this.stepUps.get(String(body.step_up_id))!;
      const verified = await verifyTxnChallenge(String(body.challenge), {
        resource: this.resource,
        issuer: this.url,
        keys: this.#guardKeys,
        now: new Date(),
      });
      const detail = verified.ok ? verified.value.authorization_details[0] : undefined;
      if (detail?.type !== 'mcp_tool_call' || detail.action_digest !== found.actionDigest)
        return refuse('challenge_invalid', 400);
      if (found.state === 'registered') found.state = 'open';
      return answer(this.#status(found));
    }
    if (verb === 'wait') {
      const found = this.stepUps.get(id!)!;
      if (found.state === 'open') {
        await new Promise<void>((resolve) => {
          found.waiters.push(resolve);
          setTimeout(resolve, Number(url.searchParams.get('seconds')) * 1000).unref();
        });
      }
      return answer(this.#status(found));
    }
    if (verb === 'withdraw') {
      this.decide(this.stepUps.get(id!)!, 'withdrawn', 'cancelled');
      return answer({ withdrawn: true });
    }
    if (what === 'redeem') return this.#redeem(redeemRequestSchema.parse(body), answer, refuse, response);
    if (verb === 'outcome') {
      const report = outcomeRequestSchema.parse(body);
      const found = [...this.stepUps.values()].find((stepUp) => stepUp.redemption?.id === id)!;
      Object.assign(found.redemption!, { outcome: report.outcome, result: report.result });
      return answer({ recorded: true });
    }
    return refuse('not_found', 404);
  }

  #evaluate(request: {
    caller: { access_token: string };
    action: ReturnType<typeof actionSchema.parse>;
  }): EvaluateAnswer {
    const { action } = request;
    const code = this.denied.get(action.name);
    if (code !== undefined) {
      const body = refusalBody(refusal(code, `Refused: ${code}.`));
      return { decision: 'deny', principal: PRINCIPAL, refusal: body as never };
    }
    if (!this.gated.has(action.name)) return { decision: 'permit', principal: PRINCIPAL };
    const task = JSON.parse(Buffer.from(request.caller.access_token.split('.')[1]!, 'base64url').toString()).task.id;
    const key = `${action.action_digest} ${task}`;
    const known = [...this.stepUps.values()].reverse().find((stepUp) => stepUp.key === key);
    if (known?.state === 'denied') {
      const body = refusalBody(refusal('step_up_denied', `Refused: ${known.reason}`, { step_up_id: known.id }));
      return { decision: 'deny', principal: PRINCIPAL, refusal: body as never };
    }
    if (known?.redemption != null) {
      const { outcome, result } = known.redemption;
      return { decision: 'replay', principal: PRINCIPAL, redeemed_at: new Date().toISOString(), outcome, result };
    }
    if (known?.state === 'approved')
      return { decision: 'approved', principal: PRINCIPAL, step_up: this.#status(known) };
    const stepUp =
      known !== undefined && (known.state === 'open' || known.state === 'registered')
        ? known
        : this.#create(key, action);
    return {
      decision: 'step_up',
      principal: PRINCIPAL,
      step_up: this.#status(stepUp),
      txn: stepUp.state === 'registered' ? `txn_${stepUp.id}` : null,
      why: ['Writing needs approval.'],
      scope_challenge: { allowed: this.scopeChallenges, base_scope: 'mcp:tools' },
    };
  }

  #create(key: string, action: ReturnType<typeof actionSchema.parse>): FakeStepUp {
    const stepUp: FakeStepUp = {
      id: newId('stp'),
      key,
      actionDigest: action.action_digest,
      arguments: action.arguments as JsonObject,
      state: 'registered',
      reason: null,
      usesLeft: 1,
      redemption: null,
      waiters: [],
    };
    this.stepUps.set(stepUp.id, stepUp);
    return stepUp;
  }

  #redeem(
    request: ReturnType<typeof redeemRequestSchema.parse>,
    answer: (body: object, status?: number) => void,
    refuse: (code: RefusalCode, status: number) => void,
    response: ServerResponse,
  ): void {
    const all = [...this.stepUps.values()];
    const before = all.find((stepUp) => stepUp.redemption?.attempt === request.attempt_id);
    const found =
      before ??
      all.find(
        (stepUp) =>
          stepUp.actionDigest === request.action.action_digest && stepUp.state === 'approved' && stepUp.usesLeft > 0,
      );
    if (found === undefined) {
      refuse('grant_used', 403);
      return;
    }
    if (before === undefined) {
      found.usesLeft -= 1;
      found.redemption = { id: newId('red'), attempt: request.attempt_id, outcome: 'unknown', result: null };
    }
    if (this.beforeRedeemAnswer?.() === 'drop') {
      response.destroy();
      return;
    }
    answer({ redemption_id: found.redemption!.id, step_up_id: found.id, repeated: before !== undefined });
  }

  #status(stepUp: FakeStepUp) {
    return {
      step_up_id: stepUp.id,
      state: stepUp.state,
      reason: stepUp.reason,
      expires_at: new Date(Date.now() + 600_000).toISOString(),
      approval_url: `${this.url}/step-ups/${stepUp.id}`,
    };
  }
}

const PRINCIPAL = {
  requester: 'prs_requester',
  agent: 'agt_one',
  task: 'tsk_one',
  delegation: 'dlg_one',
  client_id: 'agent-client',
};
