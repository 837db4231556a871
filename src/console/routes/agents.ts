import { areKeysOverdue, isReviewOverdue } from '../../agents/deadlines.ts';
import { proposeAgent } from '../../agents/propose.ts';
import { type Agent, createAgent, findAgent, listAgents } from '../../agents/registry.ts';
import { csrfToken } from '../../people/csrf.ts';
import type { ToolSelection } from '../../store/postgres/tables.ts';
import { refusal } from '../../wire/refusals.ts';
import { readKeySet, readTerms } from '../agent_form.ts';
import { loadAgentView, mayLookAt, termChoices } from '../agent_view.ts';
import { type Answer, goTo, refuseWith, showPage } from '../answer.ts';
import type { Form } from '../form.ts';
import { listPeople, personNames } from '../lookups.ts';
import { agentPage } from '../pages/agent_page.ts';
import { type AgentEntry, agentsPage, type ProposalForm } from '../pages/agents_page.ts';
import type { Entrances } from '../routing.ts';
import type { PersonalVisit } from '../visit.ts';
import { addAgentActions } from './agent_actions.ts';

const PURPOSE = 'agents';

export function addAgentRoutes(at: Entrances): void {
  at.showPerson('/agents', showAll);
  at.showPerson('/agents/:id', showOne);
  at.postPerson('/agents', PURPOSE, propose);
  addAgentActions(at);
}

async function showAll(visit: PersonalVisit): Promise<Answer> {
  const names = await personNames(visit.store);
  const agents = (await listAgents(visit.store)).filter((agent) => mayLookAt(visit, agent));
  const now = new Date();
  const entries = agents.map((agent) => entry(agent, names, now));
  return showPage(agentsPage({ agents: entries, form: await formFor(visit) }));
}

function entry(agent: Agent, names: ReadonlyMap<string, string>, now: Date): AgentEntry {
  const { id, kind, name, purpose, state, owner_id: ownerId, last_used_at: lastUsedAt } = agent;
  const isLive = state === 'active' || state === 'suspended';
  const notices = [
    state === 'pending' && 'approve or refuse it',
    isLive && agent.pending_change !== null && 'a change waits',
    isLive && areKeysOverdue(agent, now) && 'new keys overdue',
    isLive && agent.key_warned_at !== null && !areKeysOverdue(agent, now) && 'new keys soon',
    isLive && isReviewOverdue(agent, now) && 'review overdue',
  ].filter((notice) => notice !== false);
  return { id, kind, name, purpose, state, owner: names.get(ownerId) ?? ownerId, lastUsedAt, notices };
}

async function formFor(visit: PersonalVisit): Promise<ProposalForm> {
  const { store, signedIn } = visit;
  return {
    csrf: csrfToken(store, signedIn, PURPOSE),
    people: (await listPeople(store)).filter((person) => person.isActive),
    ownerId: signedIn.person.id,
    choices: await termChoices(store),
    isAlone: isAlone(visit),
  };
}

/** The one administrator of a server where one person may do everything. */
function isAlone({ store, signedIn }: PersonalVisit): boolean {
  return store.rules.singleOperator && signedIn.person.isAdministrator;
}

async function showOne(visit: PersonalVisit): Promise<Answer> {
  const agent = await findAgent(visit.store, visit.params.id ?? '');
  if (agent === undefined || !mayLookAt(visit, agent)) {
    return refuseWith(refusal('not_found', 'There is no such agent, or it is not yours.'), '/agents');
  }
  return showPage(agentPage(await loadAgentView(visit, agent)));
}

/** A selection of tools with the names of their servers. */
export function namedSelection(selection: ToolSelection, servers: ReadonlyMap<string, string>) {
  return Object.entries(selection).map(([id, tools]) => ({ toolServer: servers.get(id) ?? id, tools }));
}

async function propose(visit: PersonalVisit, form: Form): Promise<Answer> {
  const { store, signedIn } = visit;
  const keys = readKeySet(form);
  if (!keys.ok) return refuseWith(keys.refusal, '/agents');
  const terms = readTerms(form, null);
  if (!terms.ok) return refuseWith(terms.refusal, '/agents');
  const [name, purpose, ownerId, deputyId] = ['name', 'purpose', 'owner', 'deputy'].map(
    (field) => form.get(field) ?? '',
  );
  const said = { name: name!, purpose: purpose!, ownerId: ownerId! };
  const by = signedIn.person.id;
  const { bound = null, ...others } = terms.value;
  const made = isAlone(visit)
    ? await createAgent(store, {
        ...said,
        ...(deputyId === '' ? {} : { deputyId: deputyId! }),
        by,
        keys: keys.value,
        bound,
        terms: others,
      })
    : await proposeAgent(
        store,
        {
          ...said,
          deputyId: deputyId === '' ? null : deputyId!,
          credentials: { keys: keys.value },
          terms: terms.value,
        },
        { kind: 'person', id: by },
      );
  return made.ok ? goTo(`/agents/${made.value.id}`) : refuseWith(made.refusal, '/agents');
}
