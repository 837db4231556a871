import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { BASE_SCOPE } from '../wire/scopes.ts';
import { importSigningKey, type PrivateKeyJwk, type SigningKey } from '../wire/signing_key.ts';
import { type CachedToken, cachedToken, type TokenClient } from './access_tokens.ts';
import { AgentError } from './agent_error.ts';
import { authorizationServer, send } from './issuer_requests.ts';
import { RETRY_MS } from './limits.ts';

const TASKS_PATH = '/api/v1';
const TASKS_SCOPE = 'tasks';

export interface ServiceAgentOptions {
  /** The Countersign server, exactly as it names itself. */
  readonly issuer: string;
  /** The id the agent was registered with. */
  readonly clientId: string;
  /** The agent's private key, registered with its public part. */
  readonly key: PrivateKeyJwk;
}

export interface TaskRequest {
  /** The tool server, by its resource identifier. */
  readonly resource: string;
  /** The names of the tools that the task may use. Ask for what it needs: approvers see the task. */
  readonly tools: readonly string[];
  /** What for, in words a person understands. Shown, never decided by. */
  readonly purpose: string;
  /** One of the codes the administrator defined; policy sees it. */
  readonly purposeCode?: string;
  /** How long at most. Default: the server's. */
  readonly seconds?: number;
}

export interface StartedTask {
  readonly taskId: string;
  readonly expiresAt: Date;
}

/** Fits `authProvider` of the HTTP transports of MCP SDK v2. */
export interface TaskAuthProvider {
  token(): Promise<string>;
  onUnauthorized(): Promise<void>;
}

export interface ServiceAgent {
  /** Starts a task. @throws AgentError */
  startTask(request: TaskRequest): Promise<StartedTask>;
  /** Ends a task: its tokens stop working, its open requests for approval are withdrawn. @throws AgentError */
  endTask(taskId: string): Promise<void>;
  /** Tokens of a task for one tool server, obtained and renewed as needed. */
  authProvider(taskId: string, resource: string): TaskAuthProvider;
}

const startedSchema = z.object({ task_id: z.string(), expires_at: z.string() });

/**
 * A service agent: a program with a key of its own that works on tasks it starts itself. It authenticates with
 * `private_key_jwt` (RFC 7523) and gets short-lived tokens by client credentials, one per task and tool server (RFC 8707,
 * RFC 9396).
 *
 * @throws AgentError from its methods: what the server refused, with what to do next
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
 * import { createServiceAgent } from 'countersign/agent';
 *
 * const agent = createServiceAgent({
 *   issuer: 'http://localhost:9400',
 *   clientId: 'billing-agent',
 *   key: JSON.parse(readFileSync('agent-key.json', 'utf8')),
 * });
 * const resource = 'http://localhost:9401/mcp';
 * const { taskId } = await agent.startTask({ resource, tools: ['list_orders'], purpose: 'Check the orders of today' });
 * const client = new Client({ name: 'billing', version: '1.0.0' });
 * await client.connect(new StreamableHTTPClientTransport(new URL(resource), { authProvider: agent.authProvider(taskId, resource) }));
 * console.log(await client.callTool({ name: 'list_orders', arguments: {} }));
 * await agent.endTask(taskId);
 * ```
 */
export function createServiceAgent(options: ServiceAgentOptions): ServiceAgent {
  const { issuer, clientId } = options;
  let imported: Promise<SigningKey> | undefined;
  const client: TokenClient = {
    issuer,
    clientId,
    key: () => {
      imported ??= importSigningKey(options.key);
      return imported;
    },
    server: authorizationServer(issuer),
  };
  const apiToken = cachedToken(client, { resource: `${issuer}${TASKS_PATH}`, scope: TASKS_SCOPE });
  return {
    async startTask({ resource, tools, purpose, purposeCode, seconds }) {
      const body = {
        resource,
        tools,
        purpose,
        ...(purposeCode === undefined ? {} : { purpose_code: purposeCode }),
        ...(seconds === undefined ? {} : { seconds }),
      };
      // An answer that was lost is asked for again, and no second task starts.
      const answer = await sendAgain(apiToken, `${issuer}${TASKS_PATH}/tasks`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': `"${randomUUID()}"` },
        body: JSON.stringify(body),
      });
      const { task_id: taskId, expires_at: expiresAt } = startedSchema.parse(answer);
      return { taskId, expiresAt: new Date(expiresAt) };
    },
    async endTask(taskId) {
      await sendAgain(apiToken, `${issuer}${TASKS_PATH}/tasks/${encodeURIComponent(taskId)}`, {
        method: 'DELETE',
      });
    },
    authProvider(taskId, resource) {
      const token = cachedToken(client, { resource, scope: BASE_SCOPE, taskId });
      return {
        token: () => token.get(),
        // The transport sends the request once more after this; if the task has ended, obtaining a token says so.
        onUnauthorized: async () => token.forget(),
      };
    },
  };
}

/** Once more after a moment when there was no answer: for requests that change nothing the second time. */
async function sendAgain(token: CachedToken, url: string, init: RequestInit): Promise<unknown> {
  try {
    return await sendAuthorized(token, url, init);
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== 'unavailable') throw error;
    await sleep(RETRY_MS);
    return sendAuthorized(token, url, init);
  }
}

/** With a second attempt under a new token: the first may have been revoked, or signed before the server's keys changed. */
async function sendAuthorized(token: CachedToken, url: string, init: RequestInit): Promise<unknown> {
  const attempt = async () =>
    send(url, {
      ...init,
      headers: { accept: 'application/json', ...init.headers, authorization: `Bearer ${await token.get()}` },
    });
  try {
    return await attempt();
  } catch (error) {
    if (!(error instanceof AgentError) || !['token_invalid', 'token_expired'].includes(error.code)) throw error;
    token.forget();
    return attempt();
  }
}
