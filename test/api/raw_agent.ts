import { type Agent, createAgent } from '../../src/agents/registry.ts';
import type { ToolSelection } from '../../src/store/postgres/tables.ts';
import { clientAssertion } from '../../src/wire/client_assertion_rfc7523.ts';
import { generatePrivateKeyJwk, importSigningKey, type SigningKey } from '../../src/wire/signing_key.ts';
import type { World } from '../e2e/world.ts';
import { type Answer, answerOf, postJson, type RawGuard } from './raw_guard.ts';

const TASKS_PATH = '/api/v1/tasks';

/** A service agent without our agent library: it sends what a test wants. */
export class RawAgent {
  readonly issuer: string;
  readonly agent: Agent;
  readonly key: SigningKey;
  #token: string | undefined;

  private constructor(issuer: string, agent: Agent, key: SigningKey) {
    this.issuer = issuer;
    this.agent = agent;
    this.key = key;
  }

  static async register(world: World, bound: ToolSelection | null = null): Promise<RawAgent> {
    const key = await importSigningKey(await generatePrivateKeyJwk());
    const by = world.operatorId;
    const made = await createAgent(world.store, {
      ...{ name: 'Notes agent', purpose: 'Keeps notes', ownerId: by, by, bound },
      keys: [key.publicJwk],
    });
    if (!made.ok) throw new Error(made.refusal.message);
    return new RawAgent(world.issuer, made.value, key);
  }

  async askForToken(fields: Record<string, string>): Promise<Answer> {
    const proof = await clientAssertion(this.key, { clientId: this.agent.client_id, issuer: this.issuer }, new Date());
    const body = new URLSearchParams({ grant_type: 'client_credentials', ...fields, ...proof });
    return answerOf(await fetch(`${this.issuer}/token`, { method: 'POST', body }));
  }

  /** For the API where tasks are started. */
  async apiToken(): Promise<string> {
    this.#token ??= tokenOf(await this.askForToken({ resource: `${this.issuer}/api/v1`, scope: 'tasks' }));
    return this.#token;
  }

  async start(request: unknown, headers?: Record<string, string>): Promise<Answer> {
    const authorized = headers ?? { authorization: `Bearer ${await this.apiToken()}` };
    return postJson(`${this.issuer}${TASKS_PATH}`, request, authorized);
  }

  async end(taskId: string): Promise<Answer> {
    const headers = { authorization: `Bearer ${await this.apiToken()}` };
    return answerOf(
      await fetch(`${this.issuer}${TASKS_PATH}/${encodeURIComponent(taskId)}`, { method: 'DELETE', headers }),
    );
  }

  async startTask(guard: RawGuard, tools: readonly string[] = ['read_note', 'write_note']): Promise<string> {
    const { body } = await this.start({ resource: guard.resource, tools, purpose: 'Tidy the notes' });
    if (body.task_id === undefined) throw new Error(JSON.stringify(body));
    return body.task_id;
  }

  async askForTaskToken(guard: RawGuard, taskId: string): Promise<Answer> {
    const details = JSON.stringify([{ type: 'mcp_task', task_id: taskId }]);
    return this.askForToken({ resource: guard.resource, scope: 'mcp:tools', authorization_details: details });
  }

  /** For a tool server, within a task. */
  async taskToken(guard: RawGuard, taskId: string): Promise<string> {
    return tokenOf(await this.askForTaskToken(guard, taskId));
  }
}

function tokenOf({ body }: Answer): string {
  if (body.access_token === undefined) throw new Error(JSON.stringify(body));
  return body.access_token;
}
