import { listTools, type Tool, type ToolServer } from '../../agents/tool_servers.ts';
import type { ConsentView } from '../../model/consent_view.ts';
import type { Rules } from '../../model/rules.ts';
import { toolDescription, toolTitle } from '../../model/tool_definition.ts';
import type { Store } from '../../store/store.ts';
import { isLoopbackHost } from '../issuer.ts';
import { CONSENT_TOOLS_MAX } from '../limits.ts';

export interface PurposeCode {
  readonly code: string;
  readonly label: string;
}

export interface ConsentSubject {
  readonly uid: string;
  readonly clientId: string;
  readonly clientName: string;
  readonly redirectUri: string;
  readonly toolServer: ToolServer;
  readonly personName: string;
  readonly csrf: string;
  readonly purposeCodes: readonly PurposeCode[];
}

export async function loadConsentView(store: Store, subject: ConsentSubject): Promise<ConsentView> {
  const tools = await listTools(store, subject.toolServer.id);
  return consentView(subject, tools, store.rules);
}

function consentView(subject: ConsentSubject, tools: readonly Tool[], rules: Rules): ConsentView {
  const { toolServer, clientName } = subject;
  const redirect = new URL(subject.redirectUri);
  return {
    uid: subject.uid,
    client: {
      id: subject.clientId,
      name: clientName,
      // A client known by its document is at that host; others are known because they were registered here.
      host: subject.clientId.startsWith('https://') ? new URL(subject.clientId).host : null,
      redirectHost: redirect.host === '' ? redirect.protocol : redirect.host,
      isLoopback: redirect.protocol === 'http:' && isLoopbackHost(redirect.hostname),
    },
    toolServer: { id: toolServer.id, name: toolServer.name, resource: toolServer.resource },
    tools: tools
      .filter((tool) => tool.state === 'accepted')
      .slice(0, CONSENT_TOOLS_MAX)
      .map(({ name, risk, definition }) => ({
        name,
        title: toolTitle(definition),
        description: toolDescription(definition),
        risk,
      })),
    suggestedPurpose: `Work with ${toolServer.name}`,
    purposeCodes: subject.purposeCodes,
    durations: durations(rules),
    durationDefault: rules.taskSecondsDefault,
    person: { name: subject.personName },
    csrf: subject.csrf,
  };
}

const DURATION_CHOICES = [900, 3600, 4 * 3600, 12 * 3600];

/** In ascending order, with the default and the longest allowed among them. */
function durations({ taskSecondsDefault, taskSecondsMax }: Rules): number[] {
  const choices = [...DURATION_CHOICES, taskSecondsDefault, taskSecondsMax].filter(
    (seconds) => seconds <= taskSecondsMax,
  );
  return [...new Set(choices)].sort((a, b) => a - b);
}
