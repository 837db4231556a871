import { setTimeout as sleep } from 'node:timers/promises';
import { clientAssertion } from '../../src/wire/client_assertion_rfc7523.ts';
import { importSigningKey, type SigningKey } from '../../src/wire/signing_key.ts';
import { type Run, summarize } from './figures.ts';
import type { GuardedMethod, GuardsReady, RevokeOrder } from './guards_process.ts';
import { GUARDS, REVOCATION_PAUSE_MS, REVOCATIONS } from './limits.ts';
import { READ_TOOL } from './notes_server.ts';
import type { Program } from './programs.ts';
import { type BenchAgent, registerAgent } from './register_agent.ts';
import { untilPlace } from './until_place.ts';
import { tell, watchByGuards } from './watched_guards.ts';

export interface RevocationFinding {
  readonly hasRedis: boolean;
  readonly method: GuardedMethod;
  /** Over all guards and revocations. */
  readonly each: Run;
  /** Over the slowest guard of each revocation. */
  readonly all: Run;
}

interface Watched {
  readonly issuer: string;
  readonly agent: BenchAgent;
  readonly key: SigningKey;
  readonly guards: Program<GuardsReady>;
}

/** How long it takes until eight guards on two nodes refuse what was revoked; with Redis, and after it stopped. */
export async function measureRevocation(closing: (() => Promise<unknown>)[]): Promise<readonly RevocationFinding[]> {
  const { installation, operator, guards, redis } = await watchByGuards(closing);
  const { issuer } = installation;
  const agent = await registerAgent(operator, issuer);
  const key = await importSigningKey(agent.agentKey);
  const watched = { issuer, agent, key, guards };
  const findings = await measureBoth(watched, true);
  await redis.kill();
  await untilPlace(installation, 'postgres');
  return [...findings, ...(await measureBoth(watched, false))];
}

async function measureBoth(watched: Watched, hasRedis: boolean): Promise<RevocationFinding[]> {
  const slowest = { ping: [] as number[], 'tools/call': [] as number[] };
  const every = { ping: [] as number[], 'tools/call': [] as number[] };
  for (let count = 0; count < REVOCATIONS; count += 1) {
    for (const method of ['tools/call', 'ping'] as const) {
      const ms = await revokeOnce(watched, method, count % 2 === 0 ? 'token' : 'task');
      every[method].push(...ms);
      slowest[method].push(Math.max(...ms));
      await sleep(REVOCATION_PAUSE_MS);
    }
  }
  return (['tools/call', 'ping'] as const).map((method) => ({
    ...{ hasRedis, method, each: summarize(every[method], 1), all: summarize(slowest[method], 1) },
  }));
}

/** Each with a task and a token of its own; every second time the task is ended, and not the token revoked. */
async function revokeOnce(watched: Watched, method: GuardedMethod, what: 'token' | 'task'): Promise<readonly number[]> {
  const { agent, guards } = watched;
  const { resource } = guards.ready;
  const { taskId } = await agent.agent.startTask({ resource, tools: [READ_TOOL], purpose: 'Measure' });
  const token = await agent.agent.authProvider(taskId, resource).token();
  const revoke = what === 'token' ? await revokeToken(watched, token) : await endTask(watched, taskId);
  const { ms } = await tell(guards, { method, token, revoke });
  if (ms.length !== GUARDS) throw new Error(`${ms.length} guards answered.`);
  return ms;
}

async function revokeToken(
  { issuer, agent: { clientId }, key }: Watched,
  token: string,
): Promise<RevokeOrder['revoke']> {
  const proof = await clientAssertion(key, { clientId, issuer }, new Date());
  return { url: `${issuer}/revoke`, init: form({ token, ...proof }) };
}

async function endTask({ issuer, agent: { clientId }, key }: Watched, taskId: string): Promise<RevokeOrder['revoke']> {
  const fields = { grant_type: 'client_credentials', resource: `${issuer}/api/v1`, scope: 'tasks' };
  const proof = await clientAssertion(key, { clientId, issuer }, new Date());
  const answer = await fetch(`${issuer}/token`, form({ ...fields, ...proof }));
  const { access_token } = (await answer.json()) as { access_token: string };
  const headers = { authorization: `Bearer ${access_token}` };
  return { url: `${issuer}/api/v1/tasks/${taskId}`, init: { method: 'DELETE', headers } };
}

function form(fields: Record<string, string>) {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  return { method: 'POST', headers, body: new URLSearchParams(fields).toString() };
}
