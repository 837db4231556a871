import { type Agent, listAgents } from '../../agents/registry.ts';
import { csrfToken } from '../../people/csrf.ts';
import { approveTemplate } from '../../tasks/templates/approve.ts';
import { retireTemplate } from '../../tasks/templates/retire.ts';
import { listTemplates, type Template } from '../../tasks/templates/template.ts';
import { type Answer, goTo, refuseWith, showPage } from '../answer.ts';
import { personNames, toolServerNames } from '../lookups.ts';
import { type TemplateEntry, taskTemplatesPage } from '../pages/task_templates_page.ts';
import type { Entrances } from '../routing.ts';
import type { PersonalVisit } from '../visit.ts';
import { namedSelection } from './agents.ts';

const PURPOSE = 'task_templates';
const PAGE = '/task-templates';

export function addTaskTemplateRoutes(at: Entrances): void {
  at.showPerson(PAGE, showAll);
  at.postAdministrator(`${PAGE}/:id/approve`, PURPOSE, approve);
  at.postPerson(`${PAGE}/:id/retire`, PURPOSE, retire);
}

interface Names {
  readonly people: ReadonlyMap<string, string>;
  readonly toolServers: ReadonlyMap<string, string>;
}

async function showAll(visit: PersonalVisit): Promise<Answer> {
  const { store, signedIn } = visit;
  const names = { people: await personNames(store), toolServers: await toolServerNames(store) };
  const agents = new Map((await listAgents(store)).map((agent) => [agent.id, agent]));
  const templates = await listTemplates(store, { agentId: null });
  const entries = templates.flatMap((template) => {
    const agent = agents.get(template.agent_id);
    return agent !== undefined && mayLookAt(visit, agent) ? [entry(visit, template, agent, names)] : [];
  });
  return showPage(taskTemplatesPage(entries, csrfToken(store, signedIn, PURPOSE)));
}

function mayLookAt({ signedIn: { person } }: PersonalVisit, agent: Agent): boolean {
  return person.isAdministrator || [agent.owner_id, agent.deputy_id].includes(person.id);
}

function entry({ store, signedIn }: PersonalVisit, template: Template, agent: Agent, names: Names): TemplateEntry {
  const { person } = signedIn;
  const nameOf = (id: string) => names.people.get(id) ?? id;
  const involved = [template.proposed_by, agent.owner_id, agent.deputy_id].includes(person.id);
  const isOver = template.state === 'active' && !template.isInForce;
  return {
    id: template.id,
    name: template.name,
    agentId: agent.id,
    agentName: agent.name,
    requesterName: nameOf(template.requester_id),
    purpose: template.purpose,
    purposeCode: template.purpose_code,
    tools: namedSelection(template.tools, names.toolServers),
    limits: template.budget,
    seconds: template.seconds,
    state: isOver ? 'over' : template.state,
    proposedBy: template.proposed_by === null ? 'with an API token of the command line' : nameOf(template.proposed_by),
    approvedBy: template.approved_by === null ? null : nameOf(template.approved_by),
    createdAt: template.created_at,
    endsAt: template.ends_at,
    mayApprove: template.state === 'pending' && person.isAdministrator && (!involved || store.rules.singleOperator),
    mayRetire: template.state !== 'retired',
  };
}

async function approve({ store, signedIn, params }: PersonalVisit): Promise<Answer> {
  const approved = await approveTemplate(store, { templateId: params.id ?? '', personId: signedIn.person.id });
  return approved.ok ? goTo(PAGE) : refuseWith(approved.refusal, PAGE);
}

async function retire({ store, signedIn, params }: PersonalVisit): Promise<Answer> {
  const by = { kind: 'person', id: signedIn.person.id } as const;
  const retired = await retireTemplate(store, { templateId: params.id ?? '', by });
  return retired.ok ? goTo(PAGE) : refuseWith(retired.refusal, PAGE);
}
