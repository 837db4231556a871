import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { toNodeHandler } from '@modelcontextprotocol/node';
import {
  createGuard,
  generateGuardKey,
  type McpFetch,
  type ProtectedHandler,
  type RegistrationAnswer,
} from '../../src/guard/index.ts';
import { GUARD_POLL_MS, GUARDS } from './limits.ts';
import { RAN, READ_TOOL } from './notes_server.ts';
import { serve } from './serve.ts';

/** `ping` is answered from memory, `tools/call` by asking the server. */
export type GuardedMethod = 'ping' | 'tools/call';

/** Uses the token at every guard, sends the request that revokes it, and waits until every guard refuses it. */
export interface RevokeOrder {
  readonly method: GuardedMethod;
  readonly token: string;
  readonly revoke: { readonly url: string; readonly init: RequestInit };
}

/** What a revocation took, and from its answer to the refusal of each guard: below zero where one refused before. */
export interface Revoked {
  readonly ms: readonly number[];
  readonly requestMs: number;
}

export type RevokeAnswer = Revoked | { readonly problem: string };

/**
 * Eight guards of one tool server, as eight processes of it would be, in one process: each has its own lease, its own
 * memory of verdicts and its own connections. The tool behind them answers at once.
 */
export interface GuardsReady {
  readonly resource: string;
  readonly console_url: string;
}

const REFUSED_MS_MAX = 30_000;
const { values } = parseArgs({
  options: { port: { type: 'string', default: '' }, issuer: { type: 'string', default: '' } },
});
const resource = `http://localhost:${values.port}/mcp`;
const key = await generateGuardKey();
const registered = Promise.withResolvers<RegistrationAnswer>();
const guards: ProtectedHandler[] = [];
for (let index = 0; index < GUARDS; index += 1) {
  const guard = await createGuard({
    ...{ issuer: values.issuer, resource, key, name: 'watched-notes', proposedRisks: { [READ_TOOL]: 'read' } },
    tools: async () => [{ name: READ_TOOL, inputSchema: { type: 'object', properties: { path: { type: 'string' } } } }],
    onRegistration: registered.resolve,
  });
  guards.push(guard.protect(answerAtOnce()));
}

function answerAtOnce(): McpFetch {
  return async (request, options) => {
    const { id } = (options?.parsedBody ?? (await request.json())) as { id: number };
    return Response.json({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text: RAN }] } });
  };
}

/** Whether the guard lets it pass. */
async function ask(guard: ProtectedHandler, method: GuardedMethod, token: string): Promise<boolean> {
  const params = method === 'ping' ? {} : { name: READ_TOOL, arguments: { path: 'notes/today.md' } };
  const response = await guard.fetch(
    new Request(resource, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2025-11-25',
        host: new URL(resource).host,
        authorization: `Bearer ${token}`,
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
    }),
  );
  const text = await response.text();
  if (response.status === 200 && text.includes(RAN)) return true;
  if (response.status === 401) return false;
  throw new Error(`${method} was answered ${response.status}: ${text.slice(0, 500)}`);
}

async function revoke({ method, token, revoke: { url, init } }: RevokeOrder): Promise<Revoked> {
  const passed = await Promise.all(guards.map((guard) => ask(guard, method, token)));
  if (passed.includes(false)) throw new Error('A guard refused the token before it was revoked.');
  const endsAt = performance.now() + REFUSED_MS_MAX;
  const untilRefused = async (guard: ProtectedHandler) => {
    while (await ask(guard, method, token)) {
      if (performance.now() > endsAt) throw new Error('A guard never refused.');
      await sleep(GUARD_POLL_MS);
    }
    return performance.now();
  };
  // A call is sent when the revocation is acknowledged; what is answered from memory is watched all the time.
  const early = method === 'ping' ? guards.map(untilRefused) : [];
  for (const one of early) one.catch(() => {});
  const askedAt = performance.now();
  const response = await fetch(url, init);
  const acknowledgedAt = performance.now();
  if (!response.ok) throw new Error(`The revocation was answered ${response.status}.`);
  await response.arrayBuffer();
  const refused = await Promise.all(early.length > 0 ? early : guards.map(untilRefused));
  return { ms: refused.map((at) => at - acknowledgedAt), requestMs: acknowledgedAt - askedAt };
}

process.on('message', (order: RevokeOrder | 'ready') => {
  const tell = (answer: RevokeAnswer) => process.send?.(answer);
  const work =
    order === 'ready'
      ? Promise.all(guards.map((guard) => guard.ready())).then(() => ({ ms: [], requestMs: 0 }))
      : revoke(order);
  work.then(
    (revoked) => tell(revoked),
    (error: Error) => tell({ problem: error.stack ?? error.message }),
  );
});

const listener = toNodeHandler(guards[0] as ProtectedHandler);
await serve(Number(values.port), (request, response) => void listener(request as never, response), {
  ready: async (): Promise<GuardsReady> => ({ resource, console_url: (await registered.promise).console_url }),
  close: () => Promise.all(guards.map((guard) => guard.close())),
});
