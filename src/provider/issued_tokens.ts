import type { Middleware } from 'koa';
import { sql } from 'kysely';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { record } from '../events/record.ts';
import type { Store } from '../store/store.ts';
import { requestFacts } from './request_facts.ts';

/** Attributes every token in the audit log before the client has it: a token that could not be recorded is not handed out. */
export function recordIssuedTokens(store: Store): Middleware {
  return async (ctx, next) => {
    await next();
    const { oidc } = ctx as unknown as KoaContextWithOIDC;
    if (oidc?.route !== 'token' || ctx.status !== 200) return;
    const token = oidc.entities.AccessToken ?? oidc.entities.ClientCredentials;
    if (token === undefined) return;
    const { task, subject } = requestFacts(ctx);
    const ids = {
      token: token.jti,
      client: token.clientId ?? null,
      subject: task?.requesterId ?? subject ?? null,
      agent: task?.agentId ?? null,
      task: task?.id ?? null,
      resource: String(token.aud),
      key: token.jkt ?? null,
    };
    await record(store, { kind: 'token.issued', ids }, task?.readAt ?? (await databaseTime(store)));
  };
}

async function databaseTime({ db }: Store): Promise<Date> {
  const { rows } = await sql<{ at: Date }>`select clock_timestamp() as at`.execute(db);
  return rows[0]!.at;
}
