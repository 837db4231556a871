import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { sha256Base64url } from '../kernel/digest.ts';
import { newId } from '../kernel/ids.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { assureDurable } from '../store/postgres/assure_durable.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import type { Store, Tx } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { PURPOSE_LENGTH_MAX, RUNNING_TASKS_PER_AGENT_MAX, TASK_SECONDS_MIN, TOOLS_PER_TASK_MAX } from './limits.ts';

export interface StartTask {
  readonly requesterId: string;
  readonly agentId: string;
  readonly clientId: string;
  /** Free text for people; policy never sees it. */
  readonly purpose: string;
  /** One an administrator defined; policy sees it if a person picked it. */
  readonly purposeCode: string;
  readonly tools: ToolSelection;
  readonly seconds: number;
  /** The OAuth grant whose tokens belong to this task; null for service agents. */
  readonly oauthGrantId: string | null;
  /** Of the agent, for this request: asked again with it, the same task is the answer. */
  readonly idempotencyKey?: string;
}

export interface StartedTask {
  readonly taskId: string;
  readonly delegationId: string;
  readonly expiresAt: Date;
}

/**
 * Starts a task with its root delegation (requester → agent). The tools must be accepted ones of active servers and
 * within the agent's bound; requester, agent and owner must be active. A request that comes again under its idempotency key
 * starts nothing and gets the first answer.
 */
export async function startTask(store: Store, input: StartTask): Promise<Result<StartedTask, Refusal>> {
  const purpose = input.purpose.trim();
  if (purpose === '' || purpose.length > PURPOSE_LENGTH_MAX) {
    return refused(refusal('request_invalid', `Say what the task is for in 1 to ${PURPOSE_LENGTH_MAX} characters.`));
  }
  const { taskSecondsMax } = store.rules;
  if (!Number.isInteger(input.seconds) || input.seconds < TASK_SECONDS_MIN || input.seconds > taskSecondsMax) {
    return refused(refusal('request_invalid', `A task may last ${TASK_SECONDS_MIN} to ${taskSecondsMax} seconds.`));
  }
  return transactRepeatably(store, async (tx, afterCommit) => {
    const people = await checkPeople(tx, input);
    if (!people.ok) return people;
    await lockStarts(tx, input.agentId);
    const request = requestOf(input, purpose);
    const started = await findStarted(tx, input.agentId, request);
    if (started !== undefined) return started;
    const tools = await checkTools(tx, input.tools, people.value.bound);
    if (!tools.ok) return tools;
    const room = await checkRoom(tx, input.agentId);
    if (!room.ok) return room;
    const taskId = newId('tsk');
    const delegationId = newId('dlg');
    const { expires_at } = await tx
      .insertInto('tasks')
      .values({
        id: taskId,
        root_id: taskId,
        parent_id: null,
        requester_id: input.requesterId,
        agent_id: input.agentId,
        client_id: input.clientId,
        purpose,
        purpose_code: input.purposeCode,
        tools: JSON.stringify(input.tools),
        state: 'active',
        oauth_grant_id: input.oauthGrantId,
        ...request,
        expires_at: sql<Date>`clock_timestamp() + make_interval(secs => ${input.seconds})`,
        ended_at: null,
      })
      .returning('expires_at')
      .executeTakeFirstOrThrow();
    await tx
      .insertInto('delegations')
      .values({
        id: delegationId,
        task_id: taskId,
        parent_id: null,
        agent_id: input.agentId,
        depth: 0,
        agent_chain: [input.agentId],
        task_chain: [taskId],
        delegation_chain: [delegationId],
        revoked_at: null,
      })
      .execute();
    await append(store, tx, afterCommit, {
      kind: 'task.started',
      ids: {
        task: taskId,
        agent: input.agentId,
        requester: input.requesterId,
        delegation: delegationId,
        expires_at: expires_at.toISOString(),
      },
      personal: { purpose },
    });
    return accepted({ taskId, delegationId, expiresAt: expires_at });
  });
}

async function checkPeople(tx: Tx, input: StartTask): Promise<Result<{ bound: ToolSelection | null }, Refusal>> {
  const agent = await tx
    .selectFrom('agents as a')
    .innerJoin('people as o', 'o.id', 'a.owner_id')
    .innerJoin('people as r', (join) => join.on('r.id', '=', input.requesterId))
    .select(['a.state', 'a.client_id', 'a.bound', 'o.state as owner_state', 'r.state as requester_state'])
    .where('a.id', '=', input.agentId)
    .forShare()
    .executeTakeFirst();
  if (agent === undefined || agent.client_id !== input.clientId) {
    return refused(refusal('request_invalid', 'There is no such agent for this client.'));
  }
  if (agent.state !== 'active') return refused(refusal('agent_inactive', 'The agent is not active.'));
  if (agent.owner_state !== 'active' || agent.requester_state !== 'active') {
    return refused(refusal('person_inactive', 'The person this agent acts for, or its owner, is not active.'));
  }
  return accepted({ bound: agent.bound });
}

/** A lock of the agent's own, so that tasks started in parallel count each other, and find each other by their keys. */
async function lockStarts(tx: Tx, agentId: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`task-start:${agentId}`}, 0))`.execute(tx);
}

interface StartRequest {
  readonly start_key: string | null;
  readonly start_digest: string | null;
}

/** draft-ietf-httpapi-idempotency-key-header §2.4: the fingerprint shows that a key came with another request. */
function requestOf({ idempotencyKey, ...input }: StartTask, purpose: string): StartRequest {
  if (idempotencyKey === undefined) return { start_key: null, start_digest: null };
  const { requesterId: _, ...asked } = { ...input, purpose, tools: Object.entries(input.tools) };
  return { start_key: sha256Base64url(idempotencyKey), start_digest: sha256Base64url(JSON.stringify(asked)) };
}

async function findStarted(
  tx: Tx,
  agentId: string,
  request: StartRequest,
): Promise<Result<StartedTask, Refusal> | undefined> {
  if (request.start_key === null) return undefined;
  const row = await tx
    .selectFrom('tasks')
    .innerJoin('delegations', (join) =>
      join.onRef('delegations.task_id', '=', 'tasks.id').on('delegations.depth', '=', 0),
    )
    .select(['tasks.id', 'tasks.expires_at', 'tasks.start_digest', 'delegations.id as delegation_id'])
    .where('tasks.agent_id', '=', agentId)
    .where('tasks.start_key', '=', request.start_key)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  if (row.start_digest !== request.start_digest) {
    return refused(refusal('idempotency_key_reused', 'This Idempotency-Key came with another request before.'));
  }
  await assureDurable(tx);
  return accepted({ taskId: row.id, delegationId: row.delegation_id, expiresAt: row.expires_at });
}

async function checkRoom(tx: Tx, agentId: string): Promise<Result<true, Refusal>> {
  const { running } = await tx
    .selectFrom('tasks')
    .select(tx.fn.countAll<number>().as('running'))
    .where('agent_id', '=', agentId)
    .where('state', '=', 'active')
    .where('expires_at', '>', sql<Date>`clock_timestamp()`)
    .executeTakeFirstOrThrow();
  return running < RUNNING_TASKS_PER_AGENT_MAX
    ? accepted(true)
    : refused(refusal('rate_limited', `${running} tasks of this agent are running. End some of them first.`));
}

async function checkTools(tx: Tx, tools: ToolSelection, bound: ToolSelection | null): Promise<Result<true, Refusal>> {
  const servers = Object.keys(tools);
  const count = servers.reduce((sum, id) => sum + tools[id]!.length, 0);
  if (count === 0) return refused(refusal('request_invalid', 'A task needs at least one tool.'));
  if (count > TOOLS_PER_TASK_MAX) {
    return refused(refusal('request_invalid', `A task may include ${TOOLS_PER_TASK_MAX} tools at most.`));
  }
  const known = await tx
    .selectFrom('tools')
    .innerJoin('tool_servers', 'tool_servers.id', 'tools.tool_server_id')
    .select(['tools.tool_server_id', 'tools.name'])
    .where('tools.tool_server_id', 'in', servers)
    .where('tool_servers.state', '=', 'active')
    .where('tools.state', '=', 'accepted')
    .execute();
  const accessible = new Set(known.map((tool) => `${tool.tool_server_id} ${tool.name}`));
  for (const id of servers) {
    for (const name of tools[id]!) {
      if (!accessible.has(`${id} ${name}`)) {
        return refused(refusal('tool_unknown', `The tool "${name}" is not one that its owner has accepted.`));
      }
      if (bound !== null && !bound[id]?.includes(name)) {
        return refused(refusal('not_allowed', `This agent may not be given the tool "${name}".`));
      }
    }
  }
  return accepted(true);
}
