import { listTools, type Tool, type ToolServer } from '../../agents/tool_servers.ts';
import { amountOf, CALLS, ELEVATED_GRANTS, STEP_UPS } from '../../model/budget.ts';
import type { ConsentView } from '../../model/consent_view.ts';
import type { Rules } from '../../model/rules.ts';
import { toolDescription, toolTitle } from '../../model/tool_definition.ts';
import type { Store } from '../../store/store.ts';
import { TASK_SECONDS_MIN } from '../../tasks/limits.ts';
import type { McpTaskStart, TaskBudget } from '../../wire/task_request.ts';
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
  /** What the client says of the task it wants. */
  readonly asked: McpTaskStart | null;
}

export async function loadConsentView(store: Store, subject: ConsentSubject): Promise<ConsentView> {
  const tools = await listTools(store, subject.toolServer.id);
  return consentView(subject, tools, store.rules);
}

function consentView(subject: ConsentSubject, tools: readonly Tool[], rules: Rules): ConsentView {
  const { toolServer, clientName, asked } = subject;
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
      .filter((tool) => tool.state === 'accepted' && isAsked(asked, tool.name))
      .slice(0, CONSENT_TOOLS_MAX)
      .map(({ name, risk, definition }) => ({
        name,
        title: toolTitle(definition),
        description: toolDescription(definition),
        risk,
      })),
    suggestedPurpose: `Work with ${toolServer.name}`,
    said: saidOf(subject),
    budget: budgetOf(asked, toolServer.id),
    purposeCodes: subject.purposeCodes,
    ...durations(rules, asked?.seconds),
    person: { name: subject.personName },
    csrf: subject.csrf,
  };
}

const DURATION_CHOICES = [900, 3600, 4 * 3600, 12 * 3600];

/** In ascending order, with the default and the longest allowed among them. What a client asks for shortens the default only. */
function durations({ taskSecondsDefault, taskSecondsMax }: Rules, asked: number | undefined) {
  const suggested = asked === undefined ? taskSecondsDefault : Math.max(asked, TASK_SECONDS_MIN);
  const choices = [...DURATION_CHOICES, taskSecondsDefault, taskSecondsMax, suggested].filter(
    (seconds) => seconds <= taskSecondsMax,
  );
  return {
    durations: [...new Set(choices)].sort((a, b) => a - b),
    durationDefault: Math.min(suggested, taskSecondsDefault),
  };
}

/** A client that names the tools it needs is offered no others. */
function isAsked(asked: McpTaskStart | null, name: string): boolean {
  return asked?.tools === undefined || asked.tools.some((tool) => tool === name);
}

function saidOf({ asked, purposeCodes }: ConsentSubject): ConsentView['said'] {
  if (asked === null) return null;
  const label = purposeCodes.find(({ code }) => code === asked.purpose_code)?.label ?? null;
  const purpose = asked.purpose?.trim() || null;
  return purpose === null && label === null ? null : { purpose, purposeLabel: label };
}

/** The counts, and the arguments that the client wants added up. The person may change or drop each. */
function budgetOf(asked: McpTaskStart | null, toolServerId: string): ConsentView['budget'] {
  const counts = [CALLS, STEP_UPS, ELEVATED_GRANTS].map((what) => {
    const count = asked?.budget?.[what as keyof Omit<TaskBudget, 'amounts'>];
    return { what, field: what, suggested: count === undefined ? null : String(count) };
  });
  const amounts = new Map(
    (asked?.budget?.amounts ?? [])
      .filter(({ tool }) => isAsked(asked, tool))
      .map(({ tool, argument, maximum }) => [amountOf({ toolServerId, tool, argument }), maximum]),
  );
  const lines = [...amounts].map(([what, suggested], index) => ({ what, field: `amount-${index}`, suggested }));
  return [...counts, ...lines];
}
