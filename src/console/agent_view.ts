import { pendingChangeOf } from '../agents/change.ts';
import { keysDueAt, reviewDueAt } from '../agents/deadlines.ts';
import { findAgentKeys, listOwnerships } from '../agents/find_agents.ts';
import { type Agent, listAgents } from '../agents/registry.ts';
import { loadReview } from '../agents/review.ts';
import { termsOf } from '../agents/terms.ts';
import { listToolServers, listTools } from '../agents/tool_servers.ts';
import { listWorkloads } from '../agents/workloads.ts';
import { csrfToken } from '../people/csrf.ts';
import type { Store } from '../store/store.ts';
import { listPeople, toolServerNames } from './lookups.ts';
import type { TermChoices } from './pages/agent_term_fields.ts';
import type { AgentRights, AgentView } from './pages/agent_view.ts';
import type { PersonEntry } from './pages/people_page.ts';
import type { PersonalVisit } from './visit.ts';

/** What the hidden token of every form on an agent's page was made for. */
export const AGENT_PURPOSE = 'agent:{id}';

export function mayLookAt({ signedIn: { person } }: PersonalVisit, agent: Agent): boolean {
  const theirs = [agent.owner_id, agent.deputy_id, agent.person_id, agent.proposed_by];
  return person.isAdministrator || theirs.includes(person.id);
}

function rightsOn({ signedIn: { person }, store }: PersonalVisit, agent: Agent): AgentRights {
  const { isAdministrator } = person;
  const govern = isAdministrator || [agent.owner_id, agent.deputy_id].includes(person.id);
  const mayApprove = (askedBy: string | null) =>
    isAdministrator && (askedBy !== person.id || store.rules.singleOperator);
  const pending = pendingChangeOf(agent);
  return {
    govern,
    isAdministrator,
    approve: agent.state === 'pending' && mayApprove(agent.proposed_by),
    approveChange: pending !== null && mayApprove(pending.person),
    refuse: agent.state === 'pending' && (govern || agent.proposed_by === person.id),
  };
}

/** What agents may be given: tools of the accepted servers. */
export async function termChoices(store: Store): Promise<TermChoices> {
  const servers = (await listToolServers(store)).filter((server) => server.state === 'active');
  const withTools = servers.map(async ({ id, name }) => ({
    id,
    name,
    tools: (await listTools(store, id)).map((tool) => tool.name),
  }));
  return { toolServers: await Promise.all(withTools) };
}

export async function loadAgentView(visit: PersonalVisit, agent: Agent): Promise<AgentView> {
  const { store, signedIn, platforms = [] } = visit;
  const people = await listPeople(store);
  const known = new Map(people.map((person) => [person.id, person]));
  const nameOf = (id: string) => known.get(id)?.name ?? id;
  const pending = pendingChangeOf(agent);
  const { isAdministrator } = signedIn.person;
  return {
    id: agent.id,
    kind: agent.kind,
    name: agent.name,
    purpose: agent.purpose,
    state: agent.state,
    stateReason: agent.state_reason,
    stateChangedAt: agent.state_changed_at,
    clientId: agent.client_id,
    createdAt: agent.created_at,
    lastUsedAt: agent.last_used_at,
    owner: accountable(agent.owner_id, known),
    deputy: agent.deputy_id === null ? null : accountable(agent.deputy_id, known),
    proposedBy: agent.proposed_by === null ? null : nameOf(agent.proposed_by),
    approved:
      agent.approved_by === null || agent.approved_at === null
        ? null
        : { by: nameOf(agent.approved_by), at: agent.approved_at },
    terms: termsOf(agent),
    pending: pending === null ? null : { ...pending, byName: await askerName(store, pending.by, known) },
    keys: await findAgentKeys(store, agent),
    keysDueAt: keysDueAt(agent),
    reviewDueAt: reviewDueAt(agent),
    reviewedAt: agent.reviewed_at,
    review: await loadReview(store, agent),
    workloads: await listWorkloads(store, agent.id),
    platforms: platforms.map(({ issuer }) => issuer),
    ownerships: (await listOwnerships(store, agent.id)).map(({ person_id, role, since, until }) => ({
      ...{ person: nameOf(person_id), role, since, until },
    })),
    people: people.filter((person) => person.isActive),
    others: isAdministrator ? await pairable(store, agent.id) : null,
    choices: await termChoices(store),
    toolServers: await toolServerNames(store),
    csrf: csrfToken(store, signedIn, AGENT_PURPOSE.replace('{id}', agent.id)),
    now: new Date(),
    may: rightsOn(visit, agent),
  };
}

function accountable(id: string, known: ReadonlyMap<string, PersonEntry>) {
  const person = known.get(id);
  return { id, name: person?.name ?? id, isActive: person?.isActive ?? false };
}

async function askerName(store: Store, id: string, known: ReadonlyMap<string, PersonEntry>): Promise<string> {
  const person = known.get(id);
  if (person !== undefined) return person.name;
  const token = await store.db.selectFrom('api_tokens').select('name').where('id', '=', id).executeTakeFirst();
  return `The machine "${token?.name ?? id}"`;
}

async function pairable(store: Store, agentId: string) {
  const agents = await listAgents(store);
  return agents
    .filter((agent) => agent.id !== agentId && (agent.state === 'active' || agent.state === 'suspended'))
    .map(({ id, name }) => ({ id, name: `${name} (${id.slice(-6)})` }));
}
