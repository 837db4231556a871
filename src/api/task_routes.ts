import type Router from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import { type Agent, findServiceAgentByClient } from '../agents/registry.ts';
import { findToolServerByResource } from '../agents/tool_servers.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Store } from '../store/store.ts';
import { endTask } from '../tasks/finish.ts';
import { startTask } from '../tasks/start.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { TokenVerifier } from './bearer.ts';
import { answer, answerRefusal, readJson } from './http.ts';
import { IDEMPOTENCY_KEY_CHARACTERS_MAX } from './limits.ts';

export const TASK_API_PATH = '/api/v1';
export const TASK_API_SCOPE = 'tasks';

const startTaskSchema = z.strictObject({
  /** The tool server, by resource identifier. */
  resource: z.string().max(2048),
  tools: z.array(z.string().min(1).max(512)).min(1).max(500),
  purpose: z.string().max(500),
  purpose_code: z.string().max(64).default(''),
  /** How long it may last; the server's default if left out. */
  seconds: z.number().int().positive().optional(),
});

interface TaskApi {
  readonly store: Store;
  readonly tokens: TokenVerifier;
  readonly purposeCodes: readonly string[];
}

/** Service agents start and end their own tasks; the requester of such a task is the agent's accountable owner. */
export function addTaskRoutes(router: Router, api: TaskApi): void {
  router.post(`${TASK_API_PATH}/tasks`, async (ctx) => {
    const agent = await authenticateAgent(ctx, api);
    if (!agent.ok) return answerRefusal(ctx, agent.refusal);
    const started = await start(ctx, agent.value, api);
    if (!started.ok) return answerRefusal(ctx, started.refusal);
    answer(ctx, { task_id: started.value.taskId, expires_at: started.value.expiresAt.toISOString() }, 201);
  });
  router.delete(`${TASK_API_PATH}/tasks/:id`, async (ctx) => {
    const agent = await authenticateAgent(ctx, api);
    if (!agent.ok) return answerRefusal(ctx, agent.refusal);
    const by = { agentId: agent.value.id };
    const ended = await endTask(api.store, { taskId: ctx.params.id ?? '', how: 'completed', by });
    if (!ended.ok) return answerRefusal(ctx, ended.refusal);
    answer(ctx, { task_id: ended.value.taskId, state: ended.value.state });
  });
}

async function authenticateAgent(ctx: Context, { store, tokens }: TaskApi): Promise<Result<Agent, Refusal>> {
  const audience = `${store.issuer}${TASK_API_PATH}`;
  const token = await tokens.authenticate(ctx, { audience, scope: TASK_API_SCOPE, isProofRequired: false });
  if (!token.ok) {
    ctx.set('WWW-Authenticate', 'Bearer error="invalid_token"');
    return token;
  }
  const agent = await findServiceAgentByClient(store, String(token.value.client_id));
  if (agent === undefined) return refused(refusal('not_allowed', 'This client is not a registered agent.'));
  return agent.state === 'active'
    ? accepted(agent)
    : refused(refusal('agent_inactive', `The agent is ${agent.state}.`));
}

async function start(ctx: Context, agent: Agent, { store, purposeCodes }: TaskApi) {
  const request = await readJson(ctx, startTaskSchema);
  if (!request.ok) return request;
  const { resource, tools, purpose, purpose_code, seconds } = request.value;
  if (purpose_code !== '' && !purposeCodes.includes(purpose_code)) {
    return refused(
      refusal(
        'request_invalid',
        `There is no purpose code "${purpose_code}". Known: ${purposeCodes.join(', ') || 'none'}.`,
      ),
    );
  }
  const key = readIdempotencyKey(ctx);
  if (!key.ok) return key;
  const server = await findToolServerByResource(store, resource);
  if (server === undefined) return refused(refusal('request_invalid', `There is no tool server at ${resource}.`));
  return startTask(store, {
    requesterId: agent.owner_id,
    agentId: agent.id,
    clientId: agent.client_id,
    purpose,
    purposeCode: purpose_code,
    tools: { [server.id]: [...new Set(tools)] },
    seconds: seconds ?? store.rules.taskSecondsDefault,
    oauthGrantId: null,
    ...(key.value === undefined ? {} : { idempotencyKey: key.value }),
  });
}

/** draft-ietf-httpapi-idempotency-key-header §2.1: a string of RFC 9651 §3.3.3; without its quotes it is taken as well. */
function readIdempotencyKey(ctx: Context): Result<string | undefined, Refusal> {
  const header = ctx.req.headers['idempotency-key'];
  if (header === undefined) return accepted(undefined);
  const key = typeof header === 'string' ? /^"([!#-[\]-~]+)"$|^([!#-[\]-~]+)$/.exec(header) : null;
  const value = key?.[1] ?? key?.[2];
  return value !== undefined && value.length <= IDEMPOTENCY_KEY_CHARACTERS_MAX
    ? accepted(value)
    : refused(
        refusal(
          'request_invalid',
          `The Idempotency-Key must be one string of 1 to ${IDEMPOTENCY_KEY_CHARACTERS_MAX} visible ASCII characters, such as "8e03978e-40d5".`,
        ),
      );
}
