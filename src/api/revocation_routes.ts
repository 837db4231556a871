import type Router from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result } from '../kernel/result.ts';
import type { Acting } from '../model/acting.ts';
import type { ApiTokenScope } from '../model/api_token.ts';
import type { Store } from '../store/store.ts';
import { disablePerson } from '../tasks/revoke/disable_person.ts';
import { revokeDelegation } from '../tasks/revoke/revoke_delegation.ts';
import { revokeGrant } from '../tasks/revoke/revoke_grant.ts';
import type { Refusal } from '../wire/refusals.ts';
import { authenticateApiToken } from './api_token_auth.ts';
import type { TokenVerifier } from './bearer.ts';
import { answer, answerRefusal, readJson } from './http.ts';
import { authenticateAgent } from './task_caller.ts';
import { TASK_API_PATH } from './task_routes.ts';

interface RevocationApi {
  readonly store: Store;
  readonly tokens: TokenVerifier;
}

const disableSchema = z.strictObject({ reason: z.string().default('') });

/**
 * Takes back what was given: a delegation (an agent of its chain, or a machine that administers), a grant and a person's
 * access (machines that administer only). Agents and tasks have routes of their own. Whatever is asked a second time is
 * answered as the first time, with nothing more ended.
 */
export function addRevocationRoutes(router: Router, api: RevocationApi): void {
  const { store } = api;
  router.delete(`${TASK_API_PATH}/delegations/:id`, async (ctx) => {
    const by = await authenticateActing(ctx, api, 'tasks:write');
    if (!by.ok) return answerRefusal(ctx, by.refusal);
    const delegationId = ctx.params.id ?? '';
    const ended = await revokeDelegation(store, { delegationId, by: by.value, reason: '' });
    answerEnded(ctx, { delegation_id: delegationId, state: 'revoked' }, ended);
  });
  router.delete(`${TASK_API_PATH}/grants/:id`, async (ctx) => {
    const token = await authenticateApiToken(ctx, store, 'tasks:write');
    if (!token.ok) return answerRefusal(ctx, token.refusal);
    const grantId = ctx.params.id ?? '';
    const by: Acting = { kind: 'api_token', id: token.value.id };
    const ended = await revokeGrant(store, { grantId, by, reason: '' });
    answerEnded(ctx, { grant_id: grantId, state: 'revoked' }, ended);
  });
  router.post(`${TASK_API_PATH}/people/:id/disable`, async (ctx) => {
    const token = await authenticateApiToken(ctx, store, 'scim');
    if (!token.ok) return answerRefusal(ctx, token.refusal);
    const request = await readJson(ctx, disableSchema);
    if (!request.ok) return answerRefusal(ctx, request.refusal);
    const personId = ctx.params.id ?? '';
    const by: Acting = { kind: 'api_token', id: token.value.id };
    const ended = await disablePerson(store, { personId, by, reason: request.value.reason });
    answerEnded(ctx, { person_id: personId, state: 'disabled' }, ended);
  });
}

function answerEnded(ctx: Context, what: JsonObject, ended: Result<object, Refusal>): void {
  if (ended.ok) answer(ctx, { ...what, ended: { ...ended.value } });
  else answerRefusal(ctx, ended.refusal);
}

/** A machine that administers by its API token, or a service agent by a token of ours for this API. */
async function authenticateActing(
  ctx: Context,
  { store, tokens }: RevocationApi,
  scope: ApiTokenScope,
): Promise<Result<Acting, Refusal>> {
  if (/^bearer\s+cst_/i.test(ctx.get('Authorization'))) {
    const token = await authenticateApiToken(ctx, store, scope);
    return token.ok ? accepted({ kind: 'api_token', id: token.value.id }) : token;
  }
  const agent = await authenticateAgent(ctx, { store, tokens });
  return agent.ok ? accepted({ kind: 'agent', id: agent.value.id }) : agent;
}
