import { setTimeout as sleep } from 'node:timers/promises';
import { sha256Base64url } from '../../src/kernel/digest.ts';
import { newId, newSecret } from '../../src/kernel/ids.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { openDatabase } from '../../src/store/postgres/open.ts';
import type { Tables } from '../../src/store/postgres/tables.ts';
import { addDescendants } from '../../test/tasks/revoke/descendants.ts';
import { type Run, summarize } from './figures.ts';
import { DESCENDANTS, OFFBOARDINGS, REVOCATION_PAUSE_MS } from './limits.ts';
import { READ_TOOL } from './notes_server.ts';
import { registerAgent } from './register_agent.ts';
import { tell, type WatchedGuards, watchByGuards } from './watched_guards.ts';

export interface OffboardFinding {
  /** From the request to its answer. */
  readonly request: Run;
  /** From the answer to the refusal at each guard, and at the slowest of each time. */
  readonly each: Run;
  readonly all: Run;
}

/** An agent with a thousand descendants is offboarded over REST while eight guards let a sub-task of it pass. */
export async function measureOffboarding(closing: (() => Promise<unknown>)[]): Promise<OffboardFinding> {
  const watched = await watchByGuards(closing);
  const { connection } = watched.installation.postgres;
  const { db, close } = openDatabase<Tables>({ connection, poolMax: 1, log: silentLogger });
  closing.push(close);
  const apiToken = await makeToken(watched);
  const other = await registerAgent(watched.operator, watched.installation.issuer);
  const request: number[] = [];
  const each: number[] = [];
  const all: number[] = [];
  for (let count = 0; count < OFFBOARDINGS; count += 1) {
    const { clientId, token, place } = await startAgent(watched);
    const half = DESCENDANTS / 2;
    await addDescendants(db, { root: place, agentId: other.clientId, subTasks: half, hops: half });
    const revoke = {
      url: `${watched.installation.issuer}/api/v1/agents/${clientId}/offboard`,
      init: {
        method: 'POST',
        headers: { authorization: `Bearer ${apiToken}`, 'content-type': 'application/json' },
        body: JSON.stringify({ reason: 'Measured' }),
      },
    };
    const revoked = await tell(watched.guards, { method: 'ping', token, revoke });
    request.push(revoked.requestMs);
    each.push(...revoked.ms);
    all.push(Math.max(...revoked.ms));
    await sleep(REVOCATION_PAUSE_MS);
  }
  return { request: summarize(request, 1), each: summarize(each, 1), all: summarize(all, 1) };
}

async function startAgent({ operator, installation, guards }: WatchedGuards) {
  const { agent, clientId } = await registerAgent(operator, installation.issuer);
  const { resource } = guards.ready;
  const { taskId } = await agent.startTask({ resource, tools: [READ_TOOL], purpose: 'Measure' });
  const token = await agent.authProvider(taskId, resource).token();
  const [row] = await installation.query<{ id: string }>('select id from delegations where task_id = $1', [taskId]);
  return { clientId, token, place: { delegationId: row!.id, taskId, agentId: clientId } };
}

async function makeToken({ installation }: WatchedGuards): Promise<string> {
  const token = `cst_${newSecret()}`;
  await installation.query(
    `insert into api_tokens (id, token_hash, name, scopes, expires_at)
      values ($1, $2, 'bench', '["agents:write"]', now() + interval '1 day')`,
    [newId('apt'), sha256Base64url(token)],
  );
  return token;
}
