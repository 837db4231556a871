import type Router from '@koa/router';
import { listMessages, MESSAGE_STATES, type OutboxMessage, retryMessage } from '../approvals/dead_letters.ts';
import type { JsonObject } from '../kernel/json.ts';
import type { Store } from '../store/store.ts';
import { refusal } from '../wire/refusals.ts';
import { authenticateApiToken } from './api_token_auth.ts';
import { answer, answerRefusal } from './http.ts';
import { MESSAGES_PER_PAGE_MAX } from './limits.ts';
import { TASK_API_PATH } from './task_routes.ts';

const MESSAGES_PATH = `${TASK_API_PATH}/messages`;

/**
 * What channels were to carry and what became of it (API tokens): `GET …/messages?state=failed&before=…` with `audit:read`;
 * `POST …/messages/{id}/retry` with `tasks:write` sends one again that was given up.
 */
export function addMessageRoutes(router: Router, store: Store): void {
  router.get(MESSAGES_PATH, async (ctx) => {
    const token = await authenticateApiToken(ctx, store, 'audit:read');
    if (!token.ok) return answerRefusal(ctx, token.refusal);
    const state = MESSAGE_STATES.find((known) => known === (ctx.query.state ?? 'failed'));
    const before = typeof ctx.query.before === 'string' ? new Date(ctx.query.before) : undefined;
    if (state === undefined || Number.isNaN(before?.getTime())) {
      const words = `"state" is one of ${MESSAGE_STATES.join(', ')}; "before" is a time, as "next" of an earlier answer.`;
      return answerRefusal(ctx, refusal('request_invalid', words));
    }
    const found = await listMessages(store, {
      state,
      limit: MESSAGES_PER_PAGE_MAX,
      ...(before === undefined ? {} : { before }),
    });
    const next = found.length === MESSAGES_PER_PAGE_MAX ? found.at(-1)!.created_at.toISOString() : null;
    answer(ctx, { messages: found.map(messageJson), next });
  });
  router.post(`${MESSAGES_PATH}/:id/retry`, async (ctx) => {
    const token = await authenticateApiToken(ctx, store, 'tasks:write');
    if (!token.ok) return answerRefusal(ctx, token.refusal);
    const retried = await retryMessage(store, ctx.params.id ?? '');
    if (!retried.ok) return answerRefusal(ctx, retried.refusal);
    answer(ctx, { message_id: retried.value.id, state: 'waiting' });
  });
}

function messageJson(message: OutboxMessage): JsonObject {
  return {
    message_id: message.id,
    channel: message.channel,
    kind: message.kind,
    subject_id: message.subject_id,
    state: message.state,
    attempts: message.attempts,
    created_at: message.created_at.toISOString(),
    due_at: message.due_at.toISOString(),
    finished_at: message.finished_at?.toISOString() ?? null,
    last_error: message.last_error,
  };
}
