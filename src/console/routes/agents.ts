import { type Agent, createAgent, findAgent, listAgents } from '../../agents/registry.ts';
import { listToolServers, listTools } from '../../agents/tool_servers.ts';
import { parseStrictJson } from '../../kernel/strict_json.ts';
import { csrfToken } from '../../people/csrf.ts';
import type { ToolSelection } from '../../store/postgres/tables.ts';
import { refusal } from '../../wire/refusals.ts';
import { type Answer, goTo, refuseWith, showPage } from '../answer.ts';
import type { Form } from '../form.ts';
import { listPeople, personNames, toolServerNames } from '../lookups.ts';
import { type AgentEntry, type AgentForm, agentPage, agentsPage } from '../pages/agents_page.ts';
import type { Entrances } from '../routing.ts';
import type { PersonalVisit } from '../visit.ts';

const PURPOSE = 'agents';

export function addAgentRoutes(at: Entrances): void {
  at.showPerson('/agents', showAll);
  at.showPerson('/agents/:id', showOne);
  at.postAdministrator('/agents', PURPOSE, register);
}

async function showAll(visit: PersonalVisit): Promise<Answer> {
  const names = await personNames(visit.store);
  const agents = (await listAgents(visit.store)).filter((agent) => mayLookAt(visit, agent));
  const form = visit.signedIn.person.isAdministrator ? await formFor(visit) : null;
  return showPage(agentsPage({ agents: agents.map((agent) => entry(agent, names)), form }));
}

function mayLookAt({ signedIn: { person } }: PersonalVisit, agent: Agent): boolean {
  return person.isAdministrator || [agent.owner_id, agent.person_id].includes(person.id);
}

function entry(agent: Agent, names: ReadonlyMap<string, string>): AgentEntry {
  const { id, kind, name, purpose, state, owner_id: ownerId } = agent;
  return { id, kind, name, purpose, state, owner: names.get(ownerId) ?? ownerId };
}

async function formFor({ store, signedIn }: PersonalVisit): Promise<AgentForm> {
  const servers = (await listToolServers(store)).filter((server) => server.state === 'active');
  return {
    csrf: csrfToken(store, signedIn, PURPOSE),
    people: (await listPeople(store)).filter((person) => person.isActive),
    ownerId: signedIn.person.id,
    toolServers: await Promise.all(
      servers.map(async ({ id, name }) => ({ id, name, tools: (await listTools(store, id)).map((tool) => tool.name) })),
    ),
  };
}

async function showOne(visit: PersonalVisit): Promise<Answer> {
  const { store } = visit;
  const agent = await findAgent(store, visit.params.id ?? '');
  if (agent === undefined || !mayLookAt(visit, agent)) {
    return refuseWith(refusal('not_found', 'There is no such agent, or it is not yours.'), '/agents');
  }
  const names = await personNames(store);
  const servers = await toolServerNames(store);
  const bound = agent.bound === null ? null : namedSelection(agent.bound, servers);
  return showPage(agentPage({ ...entry(agent, names), clientId: agent.client_id, createdAt: agent.created_at, bound }));
}

/** A selection of tools with the names of their servers. */
export function namedSelection(selection: ToolSelection, servers: ReadonlyMap<string, string>) {
  return Object.entries(selection).map(([id, tools]) => ({ toolServer: servers.get(id) ?? id, tools }));
}

async function register(visit: PersonalVisit, form: Form): Promise<Answer> {
  const parsed = parseStrictJson(form.get('jwks') ?? '');
  const keys = parsed.ok ? (parsed.value as { keys?: unknown } | null)?.keys : undefined;
  if (!Array.isArray(keys)) {
    const problem = parsed.ok ? 'It has no list "keys".' : parsed.refusal.message;
    return refuseWith(refusal('request_invalid', `The public keys must be a JSON Web Key Set. ${problem}`), '/agents');
  }
  const created = await createAgent(visit.store, {
    name: form.get('name') ?? '',
    purpose: form.get('purpose') ?? '',
    ownerId: form.get('owner') ?? '',
    by: visit.signedIn.person.id,
    keys,
    bound: boundOf(form),
  });
  return created.ok ? goTo(`/agents/${created.value.id}`) : refuseWith(created.refusal, '/agents');
}

/** Fields named `tool:<server id>:<tool name>`; none chosen means no bound but the task. */
function boundOf(form: Form): ToolSelection | null {
  const bound = new Map<string, string[]>();
  for (const name of form.keys()) {
    const [, server, tool] = /^tool:([a-z]{3}_[a-z2-7]{26}):(.+)$/s.exec(name) ?? [];
    if (server !== undefined && tool !== undefined) bound.set(server, [...(bound.get(server) ?? []), tool]);
  }
  return bound.size === 0 ? null : Object.fromEntries(bound);
}
