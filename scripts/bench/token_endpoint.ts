import { BASE_SCOPE } from '../../src/wire/scopes.ts';
import { type Compared, compare } from './compare.ts';
import { TOKEN_REQUESTS_MAX } from './limits.ts';
import type { LoadGenerator, TokenJob } from './load.ts';
import type { Stage } from './stage.ts';

export const BARE_PROVIDER = 'Token: bare oidc-provider, same stores';

/** Client credentials with `private_key_jwt` for a JWT of one resource; ours is for a task and is recorded before it is handed out. */
export function compareTokenEndpoints(load: LoadGenerator, stage: Stage): Promise<Compared[]> {
  const { clientId, agentKey: key, guarded: resource } = stage;
  const form = { resource, scope: BASE_SCOPE };
  const ours = {
    ...form,
    authorization_details: JSON.stringify([{ type: 'mcp_task', task_id: stage.tasks.get(resource) }]),
  };
  const contender = (name: string, pid: number, issuer: string, body: Readonly<Record<string, string>>) => ({
    name,
    pids: [pid],
    baseline: BARE_PROVIDER,
    job: async (bounds: Pick<TokenJob, 'connections' | 'milliseconds'>): Promise<TokenJob> => ({
      ...{ kind: 'token', url: `${issuer}/token`, issuer, clientId, key, form: body },
      ...bounds,
      requestsMax: TOKEN_REQUESTS_MAX,
    }),
  });
  return compare(load, [
    contender(BARE_PROVIDER, stage.bareProvider.pid, stage.bareProvider.issuer, form),
    contender('Token: Countersign, for a task', stage.server.ready.pid, stage.server.ready.issuer, ours),
  ]);
}
