import { acceptToolServer, rejectToolServer } from '../../agents/accept_tool_server.ts';
import { pairToolServer } from '../../agents/pair_tool_server.ts';
import { listAgents } from '../../agents/registry.ts';
import { acceptToolChanges } from '../../agents/report_manifest.ts';
import { findToolServer, listToolServers, listTools, type Tool } from '../../agents/tool_servers.ts';
import type { Result } from '../../kernel/result.ts';
import { toolDescription } from '../../model/tool_definition.ts';
import { csrfToken } from '../../people/csrf.ts';
import { RISK_CLASSES, type RiskClass } from '../../wire/manifest.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { type Answer, goTo, refuseWith, showPage } from '../answer.ts';
import type { Form } from '../form.ts';
import { personNames } from '../lookups.ts';
import { type ToolView, toolServerPage } from '../pages/tool_server_page.ts';
import { toolServersPage } from '../pages/tool_servers_page.ts';
import type { Entrances } from '../routing.ts';
import type { PersonalVisit } from '../visit.ts';

const PURPOSE = 'tool-server:{id}';

export function addToolServerRoutes(at: Entrances): void {
  at.showAdministrator('/tool-servers', showAll);
  at.showPerson('/tool-servers/:id', showOne);
  at.postAdministrator('/tool-servers/:id/accept', PURPOSE, accept);
  at.postAdministrator('/tool-servers/:id/reject', PURPOSE, reject);
  at.postAdministrator('/tool-servers/:id/agent', PURPOSE, pair);
  at.postPerson('/tool-servers/:id/tools', PURPOSE, acceptTools);
}

async function showAll({ store }: PersonalVisit): Promise<Answer> {
  const servers = await listToolServers(store);
  const entries = await Promise.all(
    servers
      .filter((server) => server.state !== 'rejected')
      .map(async ({ id, name, resource, state }) => {
        const tools = state === 'active' ? await listTools(store, id) : [];
        return { id, name, resource, state, toolsWaiting: tools.filter(isWaiting).length };
      }),
  );
  return showPage(toolServersPage(entries));
}

async function showOne(visit: PersonalVisit): Promise<Answer> {
  const { store, signedIn } = visit;
  const server = await findToolServer(store, visit.params.id ?? '');
  const { id: personId, isAdministrator } = signedIn.person;
  if (server === undefined || !(isAdministrator || server.owner_id === personId)) {
    return refuseWith(refusal('not_found', 'There is no such tool server, or it is not yours.'));
  }
  const names = await personNames(store);
  const tools = await listTools(store, server.id);
  return showPage(
    toolServerPage({
      id: server.id,
      name: server.name,
      resource: server.resource,
      state: server.state,
      deployment: server.deployment,
      keyThumbprint: server.key_thumbprint,
      owner: server.owner_id === null ? null : (names.get(server.owner_id) ?? server.owner_id),
      createdAt: server.created_at,
      tools: tools.map(toolView),
      csrf: csrfToken(store, signedIn, PURPOSE.replace('{id}', server.id)),
      agents: (await listAgents(store))
        .filter(({ kind, state, id }) => kind === 'service' && (state === 'active' || id === server.agent_id))
        .map(({ id, name }) => ({ id, name, isActing: id === server.agent_id })),
      mayPair: isAdministrator && server.state === 'active',
      mayDecide: isAdministrator || (server.state === 'active' && server.owner_id === personId),
    }),
  );
}

function isWaiting(tool: Tool): boolean {
  return tool.state === 'proposed' || tool.proposed_digest !== null;
}

function toolView(tool: Tool): ToolView {
  const { proposed_definition: definition, proposed_digest: digest, proposed_risk: risk } = tool;
  return {
    name: tool.name,
    state: tool.state === 'accepted' ? 'accepted' : 'proposed',
    description: toolDescription(tool.definition),
    risk: tool.risk,
    digest: tool.digest,
    definition: JSON.stringify(tool.definition, null, 2),
    proposed:
      definition === null || digest === null ? null : { digest, definition: JSON.stringify(definition, null, 2), risk },
  };
}

async function accept(visit: PersonalVisit, form: Form): Promise<Answer> {
  const { store, fetch, params, signedIn } = visit;
  const toolServerId = params.id ?? '';
  const answer = await acceptToolServer(store, {
    toolServerId,
    by: signedIn.person.id,
    risks: risksOf(form),
    digests: Object.fromEntries(fieldsOf(form, 'shown:')),
    fetch,
  });
  return after(visit, answer);
}

async function reject(visit: PersonalVisit): Promise<Answer> {
  const answer = await rejectToolServer(visit.store, {
    toolServerId: visit.params.id ?? '',
    by: visit.signedIn.person.id,
  });
  return answer.ok ? goTo('/tool-servers') : after(visit, answer);
}

async function pair(visit: PersonalVisit, form: Form): Promise<Answer> {
  const agentId = form.get('agent') || null;
  const { params, signedIn, store } = visit;
  return after(visit, await pairToolServer(store, { toolServerId: params.id ?? '', agentId, by: signedIn.person.id }));
}

async function acceptTools(visit: PersonalVisit, form: Form): Promise<Answer> {
  // The value of each chosen box is the digest of what was shown.
  const chosen = fieldsOf(form, 'accept:');
  if (chosen.length === 0) {
    const page = `/tool-servers/${visit.params.id}`;
    return refuseWith(refusal('request_invalid', 'No tool was chosen.'), page);
  }
  const answer = await acceptToolChanges(visit.store, {
    toolServerId: visit.params.id ?? '',
    by: visit.signedIn.person.id,
    tools: chosen.map(([name]) => name),
    risks: risksOf(form),
    digests: Object.fromEntries(chosen),
  });
  return after(visit, answer);
}

function after(visit: PersonalVisit, answer: Result<unknown, Refusal>) {
  const page = `/tool-servers/${visit.params.id}`;
  return answer.ok ? goTo(page) : refuseWith(answer.refusal, page);
}

function risksOf(form: Form): Record<string, RiskClass> {
  const risks = fieldsOf(form, 'risk:').filter((entry): entry is [string, RiskClass] =>
    RISK_CLASSES.some((risk) => risk === entry[1]),
  );
  return Object.fromEntries(risks);
}

/** Fields named `<prefix><name>`, by name. */
function fieldsOf(form: Form, prefix: string): [string, string][] {
  return [...form].flatMap(([name, value]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : []));
}
