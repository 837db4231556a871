import { BASE_SCOPE } from '../../src/wire/scopes.ts';
import type { PrivateKeyJwk } from '../../src/wire/signing_key.ts';
import type { BareProviderReady } from './bare_provider.ts';
import { type Compared, type Contender, compare } from './compare.ts';
import { TOKEN_REQUESTS_MAX } from './limits.ts';
import type { LoadGenerator, TokenJob } from './load.ts';
import type { Stage } from './stage.ts';
import type { TokenStage } from './token_stage.ts';

/** One server and the baseline on the same kind of stores. */
interface TokenPair {
  readonly stores: string;
  readonly issuer: string;
  /** Where it listens, past any load balancer. */
  readonly address: string;
  readonly pids: readonly number[];
  readonly bare: BareProviderReady;
  readonly barePids: readonly number[];
  readonly clientId: string;
  readonly key: PrivateKeyJwk;
  readonly resource: string;
  readonly taskId: string;
}

/** Client credentials with `private_key_jwt` for a JWT of one resource; ours is for a task and is recorded before it is handed out. */
export function compareTokenEndpoints(
  load: LoadGenerator,
  stage: Stage,
  { world, bareProvider, storePids }: TokenStage,
): Promise<Compared[]> {
  const { issuer, pid } = stage.server.ready;
  const { installation, agent } = world;
  const [node] = installation.nodes;
  return compare(load, [
    ...contenders({
      stores: 'embedded',
      ...{ issuer, address: issuer, pids: [pid], bare: stage.bareProvider, barePids: [stage.bareProvider.pid] },
      ...{ clientId: stage.clientId, key: stage.agentKey, resource: stage.guarded },
      taskId: stage.tasks.get(stage.guarded) ?? '',
    }),
    ...contenders({
      stores: 'PostgreSQL and Redis',
      ...{ issuer: installation.issuer, address: `http://127.0.0.1:${node?.port}`, bare: bareProvider },
      ...{ pids: [node?.pid ?? 0, ...storePids], barePids: [bareProvider.pid, ...storePids] },
      ...{ clientId: agent.clientId, key: agent.agentKey, resource: world.guard.resource, taskId: world.taskId },
    }),
  ]);
}

function contenders(pair: TokenPair): Contender[] {
  const form = { resource: pair.resource, scope: BASE_SCOPE };
  const details = JSON.stringify([{ type: 'mcp_task', task_id: pair.taskId }]);
  const baseline = `Token: bare oidc-provider, ${pair.stores}`;
  const contender = (name: string, at: Pick<TokenPair, 'issuer' | 'address' | 'pids'>, body: TokenJob['form']) => ({
    ...{ name, baseline, pids: at.pids },
    job: async (bounds: Pick<TokenJob, 'connections' | 'milliseconds'>): Promise<TokenJob> => ({
      ...{ kind: 'token', url: `${at.address}/token`, issuer: at.issuer, clientId: pair.clientId, key: pair.key },
      ...{ ...bounds, form: body, requestsMax: TOKEN_REQUESTS_MAX },
    }),
  });
  return [
    contender(baseline, { issuer: pair.bare.issuer, address: pair.bare.issuer, pids: pair.barePids }, form),
    contender(`Token: Countersign, for a task, ${pair.stores}`, pair, { ...form, authorization_details: details }),
  ];
}
