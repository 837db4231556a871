import { BASE_SCOPE } from '../wire/scopes.ts';
import { type CachedToken, credentialsToken } from './access_tokens.ts';
import { authorizedFetch } from './authorized_fetch.ts';
import { type Delegated, type DelegationRequest, exchangedToken } from './exchange.ts';
import type { IssuerApi } from './issuer_api.ts';
import { type TaskOAuthProvider, taskOAuthProvider } from './oauth_client_provider.ts';
import { type StartedTask, type SubTaskRequest, taskBody } from './task_request.ts';
import type { TokenClient } from './token_client.ts';

/** Fits `authProvider` of the HTTP transports of MCP SDK v2. */
export interface TaskAuthProvider {
  token(): Promise<string>;
  onUnauthorized(): Promise<void>;
}

/**
 * A task of this agent. It ends with the block that opened it (`await using`), with `close()`, or with the program
 * (`endOnExit`); its tokens end with it.
 */
export interface AgentTask extends AsyncDisposable {
  readonly id: string;
  readonly expiresAt: Date;
  /** A token for one tool server or agent, renewed before it expires. @throws AgentError */
  token(resource: string): Promise<string>;
  /** For the HTTP transports of MCP SDK v2. Tokens that are bound to a key need `fetch` instead. */
  authProvider(resource: string): TaskAuthProvider;
  /** For the transports of MCP SDK v1, and hosts that take an `OAuthClientProvider` only. */
  oauthClientProvider(resource: string): TaskOAuthProvider;
  /** Sends requests with the token and, where it is bound, a proof: `fetch` of MCP transports, `fetchImpl` of A2A ones. */
  fetch(resource: string): typeof fetch;
  /** Begins a task within this one: fewer tools, less time, a part of the budget. @throws AgentError */
  subTask(request: SubTaskRequest): Promise<AgentTask>;
  /** Narrows what this agent may do at a resource, for a part of its own program: a delegation to itself. */
  narrow(request: DelegationRequest): Delegated;
  /**
   * Hands work on to another agent: a token that is bound to that agent's key, so that this one cannot use it. Give it,
   * and nothing else, to the other agent. @throws AgentError
   */
  handOver(request: DelegationRequest & { readonly actorToken: string }): Promise<string>;
  /** Ends the task: its tokens stop working, its open requests for approval are withdrawn. @throws AgentError */
  close(): Promise<void>;
}

export interface TaskParts {
  readonly client: TokenClient;
  readonly api: IssuerApi;
  readonly start: (path: string, body: object) => Promise<StartedTask>;
  /** Tasks that are to end with the agent. */
  readonly open: Set<AgentTask>;
}

export function agentTask(parts: TaskParts, { taskId, expiresAt }: StartedTask): AgentTask {
  const { client, api, open } = parts;
  const tokens = new Map<string, CachedToken>();
  const tokenFor = (resource: string): CachedToken => {
    const known = tokens.get(resource) ?? credentialsToken(client, { resource, scope: BASE_SCOPE, taskId });
    tokens.set(resource, known);
    return known;
  };
  let ending: Promise<void> | undefined;
  const task: AgentTask = {
    id: taskId,
    expiresAt,
    token: (resource) => tokenFor(resource).get(),
    authProvider: (resource) => ({
      token: () => tokenFor(resource).get(),
      // The transport sends the request once more after this; if the task has ended, obtaining a token says so.
      onUnauthorized: async () => tokenFor(resource).forget(),
    }),
    oauthClientProvider: (resource) => taskOAuthProvider(client, tokenFor(resource), { taskId, resource }),
    fetch: (resource) => authorizedFetch(tokenFor(resource), client.prover, resource),
    async subTask(request) {
      const started = await parts.start(`/tasks/${encodeURIComponent(taskId)}/sub-tasks`, taskBody(request));
      return agentTask(parts, started);
    },
    narrow: (request) => exchangedToken(client, { ...request, subjectToken: () => tokenFor(request.resource).get() }),
    handOver: (request) =>
      exchangedToken(client, { ...request, subjectToken: () => tokenFor(request.resource).get() }).token(),
    close() {
      ending ??= endTask(api, taskId)
        .then(() => {
          open.delete(task);
        })
        .catch((error: unknown) => {
          // It may be tried again.
          ending = undefined;
          throw error;
        });
      return ending;
    },
    [Symbol.asyncDispose]: () => task.close(),
  };
  open.add(task);
  return task;
}

export async function endTask(api: IssuerApi, taskId: string): Promise<void> {
  await api.send(`/tasks/${encodeURIComponent(taskId)}`, { method: 'DELETE' });
}
