import type { Store } from '../../src/store/store.ts';
import { clientAssertion, dpopProof, postForm, type TokenAnswer } from './oauth_flow.ts';
import {
  addPerson,
  addServiceAgent,
  addTask,
  addToolServer,
  type OAuthServer,
  type TestAgent,
  type TestKey,
  type TestToolServer,
} from './oauth_server.ts';

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

/** An agent that others may hand work to, with an owner of its own. */
export interface Peer extends TestAgent {
  readonly ownerId: string;
}

/** Agents that are each other's peers in a row, the tool servers they act at, and a task of the first one. */
export interface Row {
  readonly requesterId: string;
  readonly agents: readonly Peer[];
  /** At `desks[n]` acts `agents[n]`; nobody acts at the last one. */
  readonly desks: readonly TestToolServer[];
  readonly taskId: string;
}

/**
 * `count` agents, of which each may hand work to the next, and a task of the first that includes both tools of every tool
 * server, so that work can go down the row by the desks.
 */
export async function addRow(server: Pick<OAuthServer, 'store'>, count: number, depthMax = count - 1): Promise<Row> {
  const { store } = server;
  const requesterId = await addPerson(store, 'Requester');
  const agents: Peer[] = [];
  const desks: TestToolServer[] = [];
  for (let index = 0; index < count; index += 1) {
    const agent = await addPeer(store, depthMax);
    const desk = await addToolServer(store);
    await pair(store, desk, agent);
    const before = agents.at(-1);
    if (before !== undefined) await approvePeers(store, before, agent);
    agents.push(agent);
    desks.push(desk);
  }
  desks.push(await addToolServer(store));
  const taskId = await addTask(store, {
    agentId: agents[0]!.id,
    clientId: agents[0]!.clientId,
    requesterId,
    tools: Object.fromEntries(desks.map(({ id }) => [id, ['read_file', 'write_file']])),
  });
  return { requesterId, agents, desks, taskId };
}

export async function addPeer(store: Store, depthMax: number): Promise<Peer> {
  const ownerId = await addPerson(store, 'Owner');
  const agent = await addServiceAgent(store, ownerId);
  await store.db.updateTable('agents').set({ delegation_depth_max: depthMax }).where('id', '=', agent.id).execute();
  return { ...agent, ownerId };
}

/** Both ends: one may give, the other may take. */
export async function approvePeers(store: Store, from: TestAgent, to: TestAgent): Promise<void> {
  const approvedBy = await addPerson(store, 'Administrator');
  await store.db
    .insertInto('agent_peers')
    .values([
      { agent_id: from.id, direction: 'to', peer_id: to.id, approved_by: approvedBy },
      { agent_id: to.id, direction: 'from', peer_id: from.id, approved_by: approvedBy },
    ])
    .execute();
}

/** From now on the agent acts at the address. */
export async function pair(store: Store, desk: TestToolServer, agent: TestAgent): Promise<void> {
  await store.db.updateTable('tool_servers').set({ agent_id: agent.id }).where('id', '=', desk.id).execute();
}

export interface AskOptions {
  /** Of the proof that comes with the request. */
  readonly key?: TestKey;
}

/** The token of the task's own agent. */
export async function taskToken(
  server: Pick<OAuthServer, 'issuer'>,
  agent: TestAgent,
  task: { readonly taskId: string; readonly resource: string },
  { key }: AskOptions = {},
): Promise<string> {
  const answer = await ask(server, agent, key, {
    grant_type: 'client_credentials',
    resource: task.resource,
    authorization_details: JSON.stringify([{ type: 'mcp_task', task_id: task.taskId }]),
  });
  return tokenOf(answer);
}

/** The agent's token in its own name. */
export async function ownToken(
  server: Pick<OAuthServer, 'issuer'>,
  agent: TestAgent,
  { key }: AskOptions = {},
): Promise<string> {
  const resource = `${server.issuer}/api/v1`;
  return tokenOf(await ask(server, agent, key, { grant_type: 'client_credentials', resource }));
}

export interface ExchangeFields {
  readonly subject: string;
  readonly resource: string;
  readonly actor?: string;
  /** Members of `mcp_delegation`. */
  readonly narrowing?: object;
  readonly more?: Readonly<Record<string, string>>;
}

export function exchange(
  server: Pick<OAuthServer, 'issuer'>,
  caller: TestAgent,
  { subject, resource, actor, narrowing, more = {} }: ExchangeFields,
  { key }: AskOptions = {},
): Promise<TokenAnswer> {
  return ask(server, caller, key, {
    grant_type: TOKEN_EXCHANGE,
    subject_token: subject,
    subject_token_type: ACCESS_TOKEN,
    resource,
    ...(actor === undefined ? {} : { actor_token: actor, actor_token_type: ACCESS_TOKEN }),
    ...(narrowing === undefined
      ? {}
      : { authorization_details: JSON.stringify([{ type: 'mcp_delegation', ...narrowing }]) }),
    ...more,
  });
}

export function tokenOf(answer: TokenAnswer): string {
  if (answer.body.access_token === undefined) throw new Error(`No token: ${JSON.stringify(answer.body)}`);
  return answer.body.access_token;
}

/** The operator's words for what was refused, in order. */
export async function refusalsIn(store: Store): Promise<string[]> {
  return (await eventsOf(store, 'delegation.refused')).map(({ code }) => String(code));
}

export async function eventsOf(store: Store, kind: string): Promise<Record<string, unknown>[]> {
  const rows = await store.db.selectFrom('events').select('body').where('kind', '=', kind).orderBy('id').execute();
  return rows.map(({ body }) => (JSON.parse(body) as { ids: Record<string, unknown> }).ids);
}

async function ask(
  server: Pick<OAuthServer, 'issuer'>,
  caller: TestAgent,
  key: TestKey | undefined,
  fields: Readonly<Record<string, string>>,
): Promise<TokenAnswer> {
  const assertion = await clientAssertion(server, caller.clientId, caller.key);
  const headers = key === undefined ? {} : { DPoP: await dpopProof(server, key) };
  return postForm(server, '/token', { ...fields, ...assertion }, headers);
}
