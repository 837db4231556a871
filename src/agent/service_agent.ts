import { randomUUID } from 'node:crypto';
import { type DpopKey, generateDpopKey } from '../wire/dpop_rfc9449.ts';
import { BASE_SCOPE } from '../wire/scopes.ts';
import { importSigningKey, type PrivateKeyJwk, type SigningKey } from '../wire/signing_key.ts';
import { credentialsToken } from './access_tokens.ts';
import { type AgentTask, agentTask, endTask, type TaskAuthProvider, type TaskParts } from './agent_task.ts';
import { endOnExit } from './end_on_exit.ts';
import { type Delegated, type ExchangeRequest, exchangedToken } from './exchange.ts';
import { issuerApi } from './issuer_api.ts';
import { authorizationServer } from './issuer_requests.ts';
import { Prover } from './prover.ts';
import { type StartedTask, startedSchema, type TaskRequest, type TemplateRequest, taskBody } from './task_request.ts';
import type { TokenClient } from './token_client.ts';

export interface ServiceAgentOptions {
  /** The Countersign server, exactly as it names itself. */
  readonly issuer: string;
  /** The id the agent was registered with. */
  readonly clientId: string;
  /** The agent's private key, registered with its public part. */
  readonly key: PrivateKeyJwk;
  /**
   * Binds every token to a key (DPoP, RFC 9449), so that a stolen one is worth nothing: a fresh key of this process, or the
   * one that is given. The server may demand it of an agent, or from a class of risk on. Default: bearer tokens.
   */
  readonly dpop?: boolean | DpopKey;
}

export interface ServiceAgent extends AsyncDisposable {
  /** Starts a task and keeps hold of it. @throws AgentError */
  openTask(request: TaskRequest | TemplateRequest): Promise<AgentTask>;
  /** Starts a task, for programs that keep its id themselves. @throws AgentError */
  startTask(request: TaskRequest | TemplateRequest): Promise<StartedTask>;
  /** Ends a task: its tokens stop working, its open requests for approval are withdrawn. @throws AgentError */
  endTask(taskId: string): Promise<void>;
  /** Tokens of a task for one tool server, obtained and renewed as needed. */
  authProvider(taskId: string, resource: string): TaskAuthProvider;
  /**
   * Goes on with work that came to this agent (RFC 8693): tokens for another resource, as a delegation below the token
   * that the work came with. Fits the `agent` option of `protectA2A`.
   */
  exchange(request: ExchangeRequest): Delegated;
  /** This agent's own token, for the issuer's API: the `actorToken` by which another agent hands it work. */
  ownToken(): Promise<string>;
  /** Ends every task that `openTask` and `subTask` began and nobody closed. */
  close(): Promise<void>;
  /** Closes on SIGINT and SIGTERM, before the process ends. Gives back how to take that away. */
  endOnExit(): () => void;
}

/**
 * A service agent: a program with a key of its own that works on tasks it starts itself, and on what other agents hand
 * to it. It authenticates with `private_key_jwt` (RFC 7523) and gets short-lived tokens, one per task and resource
 * (RFC 8707, RFC 9396), which are renewed before they expire.
 *
 * @throws AgentError from its methods: what the server refused, with what to do next
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
 * import { callTool, createServiceAgent } from 'countersign/agent';
 *
 * const agent = createServiceAgent({
 *   issuer: 'http://localhost:9400',
 *   clientId: 'billing-agent',
 *   key: JSON.parse(readFileSync('agent-key.json', 'utf8')),
 *   dpop: true,
 * });
 * agent.endOnExit();
 * const resource = 'http://localhost:9401/mcp';
 * await using task = await agent.openTask({ resource, tools: ['list_orders'], purpose: 'Check the orders of today' });
 * const client = new Client({ name: 'billing', version: '1.0.0' });
 * await client.connect(new StreamableHTTPClientTransport(new URL(resource), { fetch: task.fetch(resource) }));
 * console.log(await callTool(client, { name: 'list_orders', arguments: {} }));
 * ```
 */
export function createServiceAgent(options: ServiceAgentOptions): ServiceAgent {
  const client = tokenClient(options);
  const api = issuerApi(client);
  const start = async (path: string, body: object): Promise<StartedTask> => {
    // An answer that was lost is asked for again, and no second task starts.
    const headers = { 'content-type': 'application/json', 'idempotency-key': `"${randomUUID()}"` };
    const answer = await api.send(path, { method: 'POST', headers, body: JSON.stringify(body) });
    const { task_id: taskId, expires_at: expiresAt } = startedSchema.parse(answer);
    return { taskId, expiresAt: new Date(expiresAt) };
  };
  const parts: TaskParts = { client, api, start, open: new Set() };
  const agent: ServiceAgent = {
    openTask: async (request) => agentTask(parts, await start('/tasks', taskBody(request))),
    startTask: (request) => start('/tasks', taskBody(request)),
    endTask: (taskId) => endTask(api, taskId),
    authProvider(taskId, resource) {
      const token = credentialsToken(client, { resource, scope: BASE_SCOPE, taskId });
      // The transport sends the request once more after this; if the task has ended, obtaining a token says so.
      return { token: () => token.get(), onUnauthorized: async () => token.forget() };
    },
    exchange: (request) => exchangedToken(client, request),
    ownToken: () => api.token.get(),
    async close() {
      const ended = await Promise.allSettled([...parts.open].map((task) => task.close()));
      const failed = ended.find((one) => one.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    },
    endOnExit: () => endOnExit(agent.close),
    [Symbol.asyncDispose]: () => agent.close(),
  };
  return agent;
}

function tokenClient({ issuer, clientId, key, dpop = false }: ServiceAgentOptions): TokenClient {
  let imported: Promise<SigningKey> | undefined;
  let bound: Promise<DpopKey> | undefined;
  const boundKey = () => {
    bound ??= typeof dpop === 'object' ? Promise.resolve(dpop) : generateDpopKey();
    return bound;
  };
  return {
    issuer,
    clientId,
    key: () => {
      imported ??= importSigningKey(key);
      return imported;
    },
    server: authorizationServer(issuer),
    prover: dpop === false ? undefined : new Prover(boundKey),
  };
}
