import { errors, type KoaContextWithOIDC } from 'oidc-provider';
import { boundRisks } from '../model/federation.ts';
import type { Store } from '../store/store.ts';
import type { KnownToolServer, LiveTask } from './live_task.ts';

/**
 * Refuses an unbound token (RFC 9449) where one of the agents, or a tool of the task at this server, needs a bound one. Asked
 * before a code or a refresh token is used up; whether the proof is a good one is for the engine to say.
 */
export async function assertBoundToken(
  store: Store,
  ctx: KoaContextWithOIDC,
  task: Pick<LiveTask, 'isDpopRequired' | 'tools'>,
  toolServer: Pick<KnownToolServer, 'id'>,
): Promise<void> {
  if (ctx.get('DPoP') !== '') return;
  if (task.isDpopRequired) throw unbound('its agent has tokens bound to a key only');
  const risks = boundRisks(store.rules.dpop);
  const names = task.tools[toolServer.id] ?? [];
  if (risks.length === 0 || names.length === 0) return;
  const risky = await store.db
    .selectFrom('tools')
    .select('risk')
    .where('tool_server_id', '=', toolServer.id)
    .where('name', 'in', names)
    .where('risk', 'in', risks)
    .limit(1)
    .executeTakeFirst();
  if (risky !== undefined) throw unbound(`it includes a tool of the class ${risky.risk}`);
}

export function unbound(because: string): errors.InvalidDpopProof {
  const description = `this token must be bound to a key, since ${because}: send a DPoP proof (RFC 9449)`;
  return Object.assign(new errors.InvalidDpopProof(description), { error_description: description });
}
