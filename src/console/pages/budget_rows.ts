import { type Html, html } from '../../kernel/html.ts';
import { countedArgument } from '../../model/budget.ts';
import { markedHtml } from '../marked_html.ts';

export interface LimitEntry {
  readonly what: string;
  readonly maximum: string;
  /** Left out where nothing is used, as in a template. */
  readonly used?: string;
}

const COUNTS: Readonly<Record<string, string>> = {
  calls: 'Calls',
  step_ups: 'Requests for approval',
  elevated_grants: 'Approved calls',
};

/** What a task may use up, and has: one line each. */
export function limitRows(limits: readonly LimitEntry[]): Html {
  if (limits.length === 0) return html`<p>None beside its tools and its time.</p>`;
  return html`${limits.map(({ what, maximum, used }) => {
    const far = used === undefined ? `at most ${maximum}` : `${used} of ${maximum}`;
    return html`<p>${limitName(what)}: ${far}</p>`;
  })}`;
}

function limitName(what: string): Html {
  const counted = countedArgument(what);
  return counted === undefined
    ? html`${COUNTS[what] ?? what}`
    : html`<code>${markedHtml(counted.argument)}</code> of <code>${markedHtml(counted.tool)}</code>, all calls together`;
}
