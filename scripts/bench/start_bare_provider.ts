import { freePort } from '../../src/cli/free_port.ts';
import type { BareProviderReady } from './bare_provider.ts';
import { type Program, startProgram } from './programs.ts';
import type { BenchAgent } from './register_agent.ts';

/** The baseline as a process, with one client: the agent and its key. `stores` says where its data is. */
export async function startBareProvider(
  { clientId, publicJwk }: Pick<BenchAgent, 'clientId' | 'publicJwk'>,
  stores: readonly string[],
): Promise<Program<BareProviderReady>> {
  return startProgram<BareProviderReady>(new URL('./bare_provider.ts', import.meta.url), [
    ...['--port', String(await freePort()), '--client-id', clientId, '--jwk', JSON.stringify(publicJwk)],
    ...stores,
  ]);
}
