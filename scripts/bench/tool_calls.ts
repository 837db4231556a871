import { type Compared, type Contender, compare } from './compare.ts';
import { REQUESTS_MAX } from './limits.ts';
import type { LoadGenerator, LoadJob } from './load.ts';
import { RAN, READ_TOOL } from './notes_server.ts';
import { STDIO_COMMAND, type Stage } from './stage.ts';

const PARAMS = { name: READ_TOOL, arguments: { path: 'notes/today.md' } };
const BARE_HTTP = 'Call: bare server, Streamable HTTP';
const BARE_STDIO = 'Call: bare server, stdio';

/** A permitted call of class read, as a 2025-11-25 client sends it, by each way to the same tool. */
export function compareToolCalls(load: LoadGenerator, stage: Stage): Promise<Compared[]> {
  const overHttp = (name: string, resource: string, baseline = BARE_HTTP): Contender => ({
    name,
    baseline,
    pids: stage.pids.get(resource) ?? [],
    job: async (bounds): Promise<LoadJob> => ({
      ...{ kind: 'post', url: resource, expected: RAN, requestsMax: REQUESTS_MAX },
      ...bounds,
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2025-11-25',
        ...(await authorization(stage, resource)),
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: PARAMS }),
    }),
  });
  const overStdio: Contender = {
    name: BARE_STDIO,
    pids: [],
    baseline: BARE_STDIO,
    job: async (bounds) => ({
      ...{ kind: 'stdio', command: STDIO_COMMAND, params: PARAMS, expected: RAN, requestsMax: REQUESTS_MAX },
      ...bounds,
    }),
  };
  return compare(load, [
    overHttp(BARE_HTTP, stage.bare),
    overHttp('Call: guard in the server', stage.guarded),
    overHttp('Call: gateway before Streamable HTTP', stage.gatewayHttp),
    overStdio,
    overHttp('Call: gateway before stdio', stage.gatewayStdio, BARE_STDIO),
  ]);
}

async function authorization({ agent, tasks }: Stage, resource: string): Promise<Record<string, string>> {
  const taskId = tasks.get(resource);
  if (taskId === undefined) return {};
  return { authorization: `Bearer ${await agent.authProvider(taskId, resource).token()}` };
}
