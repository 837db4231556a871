import { decodeJwt } from 'jose';
import type { ScriptedPerson } from '../../examples/demo/scripted_person.ts';
import { generateAgentKey } from '../../src/agent/index.ts';
import { newId } from '../../src/kernel/ids.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { clientAssertion } from '../../src/wire/client_assertion_rfc7523.ts';
import { GUARD_API, GUARD_API_SCOPE } from '../../src/wire/guard_api.ts';
import { importSigningKey, type SigningKey } from '../../src/wire/signing_key.ts';
import { type Answer, answerOf, postJson, RawGuard } from '../api/raw_guard.ts';
import type { Answered, Asked, History, Outcome, Verdict } from './history.ts';

// Clients that send one request at a time and record what came of it. They never try again by themselves.

const TASKS_PATH = '/api/v1/tasks';
/** Of the caller's token, not of anything else that was wrong with a request. */
const DEAD_TOKEN = ['token_invalid', 'token_expired', 'task_ended'];

export interface TaskToken {
  readonly task: string;
  readonly jti: string;
  readonly text: string;
}

/** A status below 500 is an answer; nobody knows what a server did that failed, or that was cut off. */
export function outcomeOf({ status }: { readonly status: number }): Outcome {
  if (status >= 500) return 'unknown';
  return status < 400 ? 'acknowledged' : 'refused';
}

/** Asked for something that has no id yet; without one a lost reply is bound by no rule. */
function answered<Value>(asked: Asked, outcome: Outcome, value: Value): Answered<Value> {
  return { asked, outcome, value };
}

/** A service agent over plain HTTP. */
export class RecordedAgent {
  readonly #issuer: string;
  readonly #clientId: string;
  readonly #key: SigningKey;
  readonly #history: History;
  #apiToken: string | undefined;

  private constructor(issuer: string, clientId: string, key: SigningKey, history: History) {
    this.#issuer = issuer;
    this.#clientId = clientId;
    this.#key = key;
    this.#history = history;
  }

  static async register(
    operator: ScriptedPerson,
    issuer: string,
    name: string,
    history: History,
  ): Promise<RecordedAgent> {
    const { key, publicJwk } = await generateAgentKey();
    const fields = { name, purpose: 'Keeps notes tidy', jwks: JSON.stringify({ keys: [publicJwk] }) };
    const page = await operator.submit(await operator.open('/agents'), { action: /\/agents$/ }, fields);
    const clientId = /agt_[a-z2-7]{26}/.exec(page.url + page.html)?.[0];
    if (clientId === undefined) throw new Error(`The agent was not registered: ${page.status}`);
    return new RecordedAgent(issuer, clientId, await importSigningKey(key), history);
  }

  async startTask(guard: RecordedGuard): Promise<string | undefined> {
    const body = { resource: guard.resource, tools: ['read_note', 'write_note'], purpose: 'Tidy the notes' };
    const { value } = await this.#history.record({ kind: 'other', what: 'start a task' }, async () => {
      const url = `${this.#issuer}${TASKS_PATH}`;
      const answer = this.#history.seen(await postJson(url, body, await this.#authorized()));
      this.#noteToken(answer);
      const task = answer.body.task_id as string | undefined;
      if (task === undefined) return answered({ kind: 'other', what: 'start a task' }, outcomeOf(answer), undefined);
      return answered({ kind: 'start_task', task }, outcomeOf(answer), task);
    });
    return value;
  }

  async endTask(task: string): Promise<Outcome> {
    const asked: Asked = { kind: 'end_task', task };
    const { outcome } = await this.#history.record(asked, async () => {
      const address = `${this.#issuer}${TASKS_PATH}/${task}`;
      const sent = await fetch(address, { method: 'DELETE', headers: await this.#authorized() });
      const answer = this.#history.seen(await answerOf(sent));
      this.#noteToken(answer);
      return answered(asked, outcomeOf(answer), undefined);
    });
    return outcome;
  }

  async issueToken(guard: RecordedGuard, task: string): Promise<{ outcome: Outcome; token: TaskToken | undefined }> {
    const asked: Asked = { kind: 'issue_token', task, token: '' };
    const { outcome, value } = await this.#history.record(asked, async () => {
      const details = JSON.stringify([{ type: 'mcp_task', task_id: task }]);
      const fields = { resource: guard.resource, scope: 'mcp:tools', authorization_details: details };
      const answer = await this.#post('/token', { grant_type: 'client_credentials', ...fields });
      const text = answer.body.access_token as string | undefined;
      if (text === undefined) return answered(asked, outcomeOf(answer), undefined);
      const jti = String(decodeJwt(text).jti);
      return answered({ ...asked, token: jti }, outcomeOf(answer), { task, jti, text });
    });
    return { outcome, token: value };
  }

  async revoke(token: TaskToken): Promise<Outcome> {
    const asked: Asked = { kind: 'revoke_token', token: token.jti };
    const { outcome } = await this.#history.record(asked, async () =>
      answered(asked, outcomeOf(await this.#post('/revoke', { token: token.text })), undefined),
    );
    return outcome;
  }

  async #post(path: string, fields: Record<string, string>): Promise<Answer> {
    const proof = await clientAssertion(this.#key, { clientId: this.#clientId, issuer: this.#issuer }, new Date());
    const body = new URLSearchParams({ ...fields, ...proof });
    return this.#history.seen(await answerOf(await fetch(`${this.#issuer}${path}`, { method: 'POST', body })));
  }

  async #authorized(): Promise<Record<string, string>> {
    if (this.#apiToken === undefined) {
      const fields = { resource: `${this.#issuer}/api/v1`, scope: 'tasks' };
      const answer = await this.#post('/token', { grant_type: 'client_credentials', ...fields });
      if (answer.status !== 200) throw new Error(`No token: ${answer.status} ${JSON.stringify(answer.body)}`);
      this.#apiToken = String(answer.body.access_token);
    }
    return { authorization: `Bearer ${this.#apiToken}` };
  }

  #noteToken({ status }: Answer): void {
    if (status === 401) this.#apiToken = undefined;
  }
}

/** A guard over plain HTTP, that "runs" a call by being told that it may. */
export class RecordedGuard {
  readonly #guard: RawGuard;
  readonly #history: History;
  #token: string | undefined;

  private constructor(guard: RawGuard, history: History) {
    this.#guard = guard;
    this.#history = history;
  }

  /** Registered and accepted. */
  static async open(operator: ScriptedPerson, issuer: string, name: string, history: History): Promise<RecordedGuard> {
    const guard = await RawGuard.listen(issuer, name);
    await guard.register();
    const page = await operator.open(`/tool-servers/${guard.toolServerId}`);
    const accepted = await operator.submit(page, { action: /\/accept$/ });
    if (accepted.status !== 200) throw new Error(`The guard was not accepted: ${accepted.status} ${accepted.html}`);
    return new RecordedGuard(guard, history);
  }

  get resource(): string {
    return this.#guard.resource;
  }

  /** RFC 7662: does this token work? */
  async introspect(token: TaskToken): Promise<Outcome> {
    const asked: Asked = { kind: 'use_token', task: token.task, token: token.jti };
    const { outcome } = await this.#history.record(asked, async () => {
      const proof = await clientAssertion(this.#guard.key, this.#guard, new Date());
      const body = new URLSearchParams({ token: token.text, ...proof });
      const sent = await fetch(`${this.#guard.issuer}/introspect`, { method: 'POST', body });
      const answer = this.#history.seen(await answerOf(sent));
      if (answer.status !== 200) return answered({ kind: 'other', what: 'introspect' }, outcomeOf(answer), undefined);
      return answered(asked, answer.body.active === true ? 'acknowledged' : 'refused', undefined);
    });
    return outcome;
  }

  /** A call that needs no approval. */
  async read(token: TaskToken): Promise<Outcome> {
    const asked: Asked = { kind: 'use_token', task: token.task, token: token.jti };
    const { outcome } = await this.#history.record(asked, async () => {
      const answer = await this.#send(GUARD_API.evaluate, this.#question(token, 'read_note', 'a.md'));
      if (answer.body.decision === 'permit') return answered(asked, 'acknowledged', undefined);
      const isDead = DEAD_TOKEN.includes(answer.body.refusal?.error);
      return isDead ? answered(asked, 'refused', undefined) : other('evaluate', answer);
    });
    return outcome;
  }

  /** A call that needs approval: its step-up, open. Undefined if the answers were lost or others than that. */
  async askFor(token: TaskToken, action: string): Promise<string | undefined> {
    const first = await this.#history.record({ kind: 'other', what: 'evaluate' }, async () => {
      const answer = await this.#send(GUARD_API.evaluate, this.#question(token, 'write_note', action));
      return other('evaluate', answer, answer);
    });
    const found = first.value?.body;
    if (found?.decision !== 'step_up') return undefined;
    const stepUp = String(found.step_up.step_up_id);
    if (found.txn === null) return stepUp;
    const challenge = await this.#guard.signChallenge(found.txn, this.#describe('write_note', action));
    const asked: Asked = { kind: 'open_step_up', stepUp, action, task: token.task };
    const opened = await this.#history.record(asked, async () => {
      const answer = await this.#send(GUARD_API.challenges, { step_up_id: stepUp, challenge });
      return answered(asked, outcomeOf(answer), undefined);
    });
    return opened.outcome === 'acknowledged' ? stepUp : undefined;
  }

  async readStepUp(stepUp: string, seconds = 0): Promise<string | undefined> {
    const { value } = await this.#history.record({ kind: 'other', what: 'wait' }, async () => {
      const answer = await this.#send(
        `${GUARD_API.wait(stepUp)}?seconds=${seconds}`,
        undefined,
        GUARD_API.wait(stepUp),
      );
      if (answer.status !== 200) return other('wait', answer);
      const state = String(answer.body.state);
      return answered({ kind: 'read_step_up', stepUp, state }, 'acknowledged', state);
    });
    return value;
  }

  /** What a guard does right before it runs a call. Resolves with the redemption if it may run. */
  async redeem(token: TaskToken, action: string, stepUp: string, attempt = newId('att')) {
    const asked: Asked = { kind: 'redeem', stepUp, redemption: '', isRepeated: false };
    return this.#history.record(asked, async () => {
      const body = { ...this.#question(token, 'write_note', action), attempt_id: attempt };
      const answer = await this.#send(GUARD_API.redeem, body);
      if (answer.status !== 200) return answered(asked, outcomeOf(answer), undefined);
      const { redemption_id: redemption, step_up_id, repeated } = answer.body;
      const done: Asked = { kind: 'redeem', stepUp: String(step_up_id), redemption, isRepeated: repeated === true };
      return answered(done, 'acknowledged', { redemption: String(redemption), attempt });
    });
  }

  async recordOutcome(redemption: string, attempt: string): Promise<Outcome> {
    const asked: Asked = { kind: 'record_outcome', redemption };
    const { outcome } = await this.#history.record(asked, async () => {
      const { instance } = this.#guard;
      const result = { content: [] };
      const body = { attempt_id: attempt, guard_instance: instance, outcome: 'done', result };
      return answered(asked, outcomeOf(await this.#send(GUARD_API.outcome(redemption), body)), undefined);
    });
    return outcome;
  }

  close(): Promise<void> {
    return this.#guard.close();
  }

  #describe(name: string, content: string) {
    return this.#guard.describe(name, name === 'read_note' ? { path: content } : { path: 'a.md', content });
  }

  #question(token: TaskToken, name: string, content: string) {
    const args: JsonObject = name === 'read_note' ? { path: content } : { path: 'a.md', content };
    return this.#guard.question(token.text, name, args);
  }

  async #send(path: string, body?: unknown, proven = path): Promise<Answer> {
    // Any change of the fields makes the raw guard ask for a new token instead of giving the one it keeps.
    this.#token ??= await this.#guard.token({ scope: GUARD_API_SCOPE });
    const token = this.#token;
    const method = body === undefined ? 'GET' : 'POST';
    const proof = await this.#guard.proof(proven, { method, accessToken: token });
    const answer = this.#history.seen(await this.#guard.send(path, { method, body, token, proof }));
    if (answer.status === 401) this.#token = undefined;
    return answer;
  }
}

function other(what: string, answer: Answer): Answered<undefined>;
function other<Value>(what: string, answer: Answer, value: Value): Answered<Value>;
function other(what: string, answer: Answer, value?: unknown): Answered<unknown> {
  return answered({ kind: 'other', what }, outcomeOf(answer), value);
}

/** A person reads the page of a step-up and posts its form. */
export async function decideOn(
  history: History,
  person: ScriptedPerson,
  stepUp: string,
  verdict: Verdict,
): Promise<Outcome> {
  const { value: page } = await history.record({ kind: 'other', what: 'read the page' }, async () => {
    const found = history.seen(await person.open(`/step-ups/${stepUp}`));
    return answered({ kind: 'other', what: 'read the page' }, outcomeOf(found), found);
  });
  if (page === undefined || !page.html.includes(`name="decision" value="${verdict}"`)) return 'unknown';
  const asked: Asked = { kind: 'decide', stepUp, verdict };
  const { outcome } = await history.record(asked, async () => {
    const form = { action: /\/decision$/, having: { decision: verdict } };
    const answer = history.seen(await person.submit(page, form));
    // Back on the page of the step-up; a page that asks to sign in again decided nothing.
    const isBack = new URL(answer.url).pathname.startsWith(`/step-ups/${stepUp}`);
    return answered(asked, isBack ? outcomeOf(answer) : 'unknown', undefined);
  });
  return outcome;
}
