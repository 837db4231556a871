import type Router from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import type { ToolServer } from '../agents/tool_servers.ts';
import { whileParked } from '../kernel/parking.ts';
import { Places } from '../kernel/places.ts';
import { GUARD_API } from '../wire/guard_api.ts';
import { IDENTIFIER_CHARACTERS_MAX, LEASE_WAIT_SECONDS_MAX } from '../wire/limits.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { type GuardApi, guardedBy } from './guard_routes.ts';
import { answer } from './http.ts';
import type { LeaseCursor, Leases } from './leases.ts';
import { LEASES_PER_TOOL_SERVER_MAX } from './limits.ts';

const text = z.string().max(IDENTIFIER_CHARACTERS_MAX);
const querySchema = z.object({
  nonce: text.min(16),
  seconds: z.coerce.number().min(0).max(LEASE_WAIT_SECONDS_MAX).default(0),
  epoch: text.min(1).optional(),
  position: z
    .string()
    .regex(/^\d{1,15}$/)
    .transform(Number)
    .optional(),
  head: text.optional(),
});

export interface LeaseApi extends Pick<GuardApi, 'store' | 'tokens' | 'draining'> {
  readonly leases: Leases;
}

/** `GUARD_API.lease`: a long-poll, answered at once by a process that is about to end. */
export function addLeaseRoutes(router: Router, api: LeaseApi): void {
  const places = new Places(LEASES_PER_TOOL_SERVER_MAX);
  router.get(
    GUARD_API.lease,
    guardedBy(api)((ctx, server) => giveLease(ctx, server, api, places)),
  );
}

async function giveLease(
  ctx: Context,
  server: ToolServer,
  { store, leases, draining }: LeaseApi,
  places: Places,
): Promise<Refusal | undefined> {
  const query = querySchema.safeParse(ctx.query);
  if (!query.success) {
    const issue = query.error.issues[0]!;
    return refusal('request_invalid', `"${issue.path.join('.')}" in the query: ${issue.message}`);
  }
  const { nonce, seconds, epoch, position, head } = query.data;
  const cursor: LeaseCursor | null =
    epoch === undefined || position === undefined || head === undefined ? null : { epoch, position, head };
  if (!places.take(server.id)) {
    const words = `${LEASES_PER_TOOL_SERVER_MAX} processes of this guard wait for a lease already.`;
    return refusal('rate_limited', words, { retry_after_seconds: 1 });
  }
  const gone = new AbortController();
  ctx.req.once('close', () => gone.abort());
  const made = await whileParked(() =>
    leases.next({
      issuer: store.issuer,
      toolServer: server,
      nonce,
      cursor,
      waitMs: seconds * 1000,
      signal: AbortSignal.any([gone.signal, draining]),
    }),
  ).finally(() => places.leave(server.id));
  if (!made.ok) return made.refusal;
  answer(ctx, { lease: made.value });
  return undefined;
}
