import type Router from '@koa/router';
import { proposeToolServer } from '../agents/propose_tool_server.ts';
import type { Store } from '../store/store.ts';
import { REGISTRATION_PATH, registrationRequestSchema } from '../wire/guard_api.ts';
import { refusal } from '../wire/refusals.ts';
import { answer, answerRefusal, readJson } from './http.ts';
import { REGISTRATIONS_PER_MINUTE } from './limits.ts';

/** Open to anyone who reaches the server: it grants nothing, and is bounded in rate and in number waiting. */
export function addRegistrationRoutes(router: Router, store: Store): void {
  router.post(REGISTRATION_PATH, async (ctx) => {
    // Nobody is known here, so what cannot be counted is refused (503).
    const count = await store.ephemeral.increment('registrations', 60_000);
    if (count > REGISTRATIONS_PER_MINUTE) {
      answerRefusal(
        ctx,
        refusal('rate_limited', 'Too many registrations within a minute.', { retry_after_seconds: 60 }),
      );
      return;
    }
    const request = await readJson(ctx, registrationRequestSchema);
    const proposed = request.ok ? await proposeToolServer(store, request.value) : request;
    if (!proposed.ok) return answerRefusal(ctx, proposed.refusal);
    const { id, client_id, state, registration_nonce } = proposed.value;
    const console_url = `${store.issuer}/tool-servers/${id}`;
    answer(ctx, { tool_server: id, client_id, state, nonce: registration_nonce, console_url }, 201);
  });
}
