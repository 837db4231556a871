import type { AgentTerms } from '../agents/terms.ts';
import { type Html, html } from '../kernel/html.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import { markedHtml } from './marked_html.ts';
import { plural, time } from './words.ts';

/** What governs an agent, as people call it. */
export const TERM_WORDS: Readonly<Record<keyof AgentTerms, string>> = {
  bound: 'Tools',
  scopes: 'Scopes',
  delegation_depth_max: 'Handing work on',
  trust_zone: 'Trust zone',
  ends_at: 'Ends',
  dpop_required: 'Tokens bound to its key',
  key_days: 'New keys',
  review_days: 'Review',
};

type Say = (value: never, servers: ReadonlyMap<string, string>) => Html | string;

const SAY: {
  readonly [Name in keyof AgentTerms]: (value: AgentTerms[Name], servers: ReadonlyMap<string, string>) => Html | string;
} = {
  bound: (bound, servers) => (bound === null ? 'bounded by each task only' : selectionHtml(bound, servers)),
  scopes: (scopes) => {
    if (scopes === null) return 'those of the tool server';
    return scopes.length === 0 ? 'none' : html`<code>${scopes.join(' ')}</code>`;
  },
  delegation_depth_max: (depth) =>
    depth === 0 ? 'may not hand work on' : `up to ${plural(depth, 'agent')} may follow it`,
  trust_zone: (zone) => (zone === '' ? 'none' : html`<code>${zone}</code>`),
  ends_at: (at) => (at === null ? 'when somebody ends it' : time(new Date(at))),
  dpop_required: (isRequired) => (isRequired ? 'always' : 'where policy asks for it'),
  key_days: (days) => (days === null ? 'no deadline' : `every ${plural(days, 'day')}`),
  review_days: (days) => (days === null ? 'no deadline' : `every ${plural(days, 'day')}`),
};

export function sayTerm<Name extends keyof AgentTerms>(
  name: Name,
  value: AgentTerms[Name],
  servers: ReadonlyMap<string, string>,
): Html | string {
  return (SAY[name] as Say)(value as never, servers);
}

/** Tools by the names of their servers. */
export function selectionHtml(selection: ToolSelection, servers: ReadonlyMap<string, string>): Html {
  const entries = Object.entries(selection);
  if (entries.length === 0) return html`no tool at all`;
  return html`${entries.map(
    ([id, tools]) =>
      html`<p>${markedHtml(servers.get(id) ?? id)}: ${tools.map((tool, index) => html`${index > 0 && ', '}<code>${markedHtml(tool)}</code>`)}</p>`,
  )}`;
}

export const STATE_WORDS = {
  pending: 'waits for approval',
  active: 'active',
  suspended: 'suspended',
  offboarded: 'offboarded',
} as const;
export type AgentState = keyof typeof STATE_WORDS;

export function stateTag(state: AgentState): Html {
  const isAlarming = state === 'suspended' || state === 'offboarded';
  return html`<span class="tag${isAlarming && ' danger'}">${STATE_WORDS[state]}</span>`;
}
