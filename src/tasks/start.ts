import { sql } from 'kysely';
import { sha256Base64url } from '../kernel/digest.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { BudgetLine } from '../model/budget.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import type { Store, Tx } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { checkRoom, checkTools, findStarted, lockStarts } from './admit_task.ts';
import { insertTask, type NewTask, type StartedTask, type TaskOrigin } from './insert_task.ts';
import { PURPOSE_LENGTH_MAX, TASK_SECONDS_MIN } from './limits.ts';
import { lockTemplate } from './templates/lock.ts';

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
  /** What it may use up; without a budget nothing is counted. */
  readonly budget?: readonly BudgetLine[];
  /** How it came to be; `api` if left out. */
  readonly origin?: TaskOrigin;
  /** The template it is started from, which was approved for this agent and whose words and tools these are. */
  readonly templateId?: string;
  /** W3C Trace Context of the request. */
  readonly traceparent?: string;
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
    const template = input.templateId === undefined ? accepted(true) : await lockTemplate(tx, input.templateId);
    if (!template.ok) return template;
    await lockStarts(tx, input.agentId);
    const request = requestOf(input, purpose);
    const known = await findStarted(tx, input.agentId, request);
    if (known !== undefined) return known;
    const tools = await checkTools(tx, input.tools, people.value.bound);
    if (!tools.ok) return tools;
    const room = await checkRoom(tx, input.agentId);
    if (!room.ok) return room;
    const started = await insertTask(store, tx, afterCommit, {
      ...input,
      ...request,
      purpose,
      budget: input.budget ?? [],
      origin: input.origin ?? 'api',
      templateId: input.templateId ?? null,
      traceparent: input.traceparent ?? null,
      parent: null,
    });
    return accepted(started);
  });
}

/** Locks who starts the task, and for whom: people before agents, as everywhere (design §4). */
async function checkPeople(tx: Tx, input: StartTask): Promise<Result<{ bound: ToolSelection | null }, Refusal>> {
  const { rows } = await sql<LockedAgent>`with person as materialized (
      select id, state from people
      where id in (${input.requesterId}, (select owner_id from agents where id = ${input.agentId})) order by id for share
    ), agent as materialized (
      select state, client_id, bound, owner_id, deputy_id, coalesce(ends_at > clock_timestamp(), true) as is_in_time
      from agents where id = ${input.agentId} and (select count(*) from person) > 0 for share
    )
    select a.*, o.state as owner_state, r.state as requester_state
    from agent a left join person o on o.id = a.owner_id left join person r on r.id = ${input.requesterId}`.execute(tx);
  const [agent] = rows;
  if (agent === undefined || agent.client_id !== input.clientId) {
    return refused(refusal('request_invalid', 'There is no such agent for this client.'));
  }
  if (agent.state !== 'active' || !agent.is_in_time) {
    return refused(refusal('agent_inactive', 'The agent is not active.'));
  }
  if (agent.owner_state === null) {
    return refused(refusal('conflict', 'The agent got another owner in this moment. Try again.'));
  }
  if (input.templateId !== undefined && ![agent.owner_id, agent.deputy_id].includes(input.requesterId)) {
    return refused(refusal('not_allowed', 'The agent has other owners since this template was approved.'));
  }
  if (agent.owner_state !== 'active' || agent.requester_state !== 'active') {
    return refused(refusal('person_inactive', 'The person this agent acts for, or its owner, is not active.'));
  }
  return accepted({ bound: agent.bound });
}

interface LockedAgent {
  readonly state: string;
  readonly client_id: string;
  readonly bound: ToolSelection | null;
  readonly owner_id: string;
  readonly deputy_id: string | null;
  readonly is_in_time: boolean;
  readonly owner_state: string | null;
  readonly requester_state: string | null;
}

type StartRequest = Pick<NewTask, 'startKey' | 'startDigest'>;

/** draft-ietf-httpapi-idempotency-key-header §2.4: the fingerprint shows that a key came with another request. */
function requestOf({ idempotencyKey, traceparent: _, ...input }: StartTask, purpose: string): StartRequest {
  if (idempotencyKey === undefined) return { startKey: null, startDigest: null };
  const { requesterId: __, ...asked } = { ...input, purpose, tools: Object.entries(input.tools) };
  return { startKey: sha256Base64url(idempotencyKey), startDigest: sha256Base64url(JSON.stringify(asked)) };
}
