import type { Context } from 'koa';
import { findServiceAgentByClient } from '../agents/registry.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Store } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { authenticateApiToken } from './api_token_auth.ts';
import type { TokenVerifier } from './bearer.ts';

export const TASK_API_PATH = '/api/v1';
export const TASK_API_SCOPE = 'tasks';

export interface CallingAgent {
  readonly kind: 'agent';
  readonly id: string;
  readonly clientId: string;
  /** The requester of what it starts itself. */
  readonly ownerId: string;
}

/** An agent, by its access token for this API; or a machine that administers, by its API token. */
export type TaskCaller = CallingAgent | { readonly kind: 'api_token'; readonly id: string };

interface Callers {
  readonly store: Store;
  readonly tokens: TokenVerifier;
}

export async function authenticateAgent(
  ctx: Context,
  { store, tokens }: Callers,
): Promise<Result<CallingAgent, Refusal>> {
  const audience = `${store.issuer}${TASK_API_PATH}`;
  const token = await tokens.authenticate(ctx, { audience, scope: TASK_API_SCOPE, isProofRequired: false });
  if (!token.ok) {
    ctx.set('WWW-Authenticate', 'Bearer error="invalid_token"');
    return token;
  }
  const agent = await findServiceAgentByClient(store, String(token.value.client_id));
  if (agent === undefined) return refused(refusal('not_allowed', 'This client is not a registered agent.'));
  const isInTime = agent.ends_at === null || agent.ends_at.getTime() > Date.now();
  if (agent.state !== 'active' || !isInTime) {
    return refused(refusal('agent_inactive', isInTime ? `The agent is ${agent.state}.` : 'The agent has ended.'));
  }
  return accepted({ kind: 'agent', id: agent.id, clientId: agent.client_id, ownerId: agent.owner_id });
}

export async function authenticateCaller(
  ctx: Context,
  callers: Callers,
  scope: 'tasks:read' | 'tasks:write',
): Promise<Result<TaskCaller, Refusal>> {
  // Of the two kinds of token one begins so, and is no JWT.
  if (!/^bearer cst_/i.test(ctx.get('Authorization'))) return authenticateAgent(ctx, callers);
  const token = await authenticateApiToken(ctx, callers.store, scope);
  return token.ok ? accepted({ kind: 'api_token', id: token.value.id }) : token;
}
