import type { Middleware } from 'koa';
import { sql } from 'kysely';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { record } from '../events/record.ts';
import type { Store } from '../store/store.ts';
import { STATUS_KEPT_SECONDS } from './limits.ts';
import { requestFacts } from './request_facts.ts';

/** Attributes every token in the audit log before the client has it: a token that could not be recorded is not handed out. */
export function recordIssuedTokens(store: Store): Middleware {
  return async (ctx, next) => {
    await next();
    const { oidc } = ctx as unknown as KoaContextWithOIDC;
    if (oidc?.route !== 'token' || ctx.status !== 200) return;
    const token = oidc.entities.AccessToken ?? oidc.entities.ClientCredentials;
    if (token === undefined) return;
    const { task, subject, statusNumber } = requestFacts(ctx);
    const ids = {
      token: token.jti,
      client: token.clientId ?? null,
      subject: task?.requesterId ?? subject ?? null,
      agent: task?.agentId ?? null,
      task: task?.id ?? null,
      resource: String(token.aud),
      key: token.jkt ?? null,
    };
    const at = task?.readAt ?? (await databaseTime(store));
    if (statusNumber === undefined || task === undefined) return record(store, { kind: 'token.issued', ids }, at);
    await record(store, { kind: 'token.issued', ids }, at, {
      jti: token.jti,
      number: statusNumber,
      delegationId: task.delegationId,
      expiresAt: new Date(at.getTime() + ((token.expiration ?? 0) + STATUS_KEPT_SECONDS) * 1000),
    });
  };
}

async function databaseTime({ db }: Store): Promise<Date> {
  const { rows } = await sql<{ at: Date }>`select clock_timestamp() as at`.execute(db);
  return rows[0]!.at;
}
