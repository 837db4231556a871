import { DELEGATION_DEPTH_MAX, GOVERNED_DAYS_MAX, TRUST_ZONE_CHARACTERS_MAX } from '../../agents/limits.ts';
import type { AgentTerms } from '../../agents/terms.ts';
import { type Html, html } from '../../kernel/html.ts';
import { SCOPES_CHARACTERS_MAX } from '../limits.ts';
import { markedHtml } from '../marked_html.ts';

/** What can be chosen: tools by server. */
export interface TermChoices {
  readonly toolServers: readonly { readonly id: string; readonly name: string; readonly tools: readonly string[] }[];
}

/** The fields of what governs an agent; empty for a new one. */
export function termFields(choices: TermChoices, terms: AgentTerms | null): Html {
  return html`${toolFields(choices, terms)}
<div class="field"><label for="delegation_depth_max">How many agents may follow it in a chain?</label><p class="hint" id="depth-hint">0: it may not hand work on to other agents.</p><input type="number" id="delegation_depth_max" name="delegation_depth_max" min="0" max="${DELEGATION_DEPTH_MAX}" value="${terms?.delegation_depth_max ?? 0}" aria-describedby="depth-hint"></div>
<div class="field"><label for="trust_zone">Trust zone</label><p class="hint" id="zone-hint">A name your policies use, such as <code>finance</code>. May stay empty.</p><input type="text" id="trust_zone" name="trust_zone" maxlength="${TRUST_ZONE_CHARACTERS_MAX}" pattern="[a-z0-9_\\-]*" value="${terms?.trust_zone ?? ''}" aria-describedby="zone-hint"></div>
<div class="field"><label for="scopes">Scopes its tokens may have</label><p class="hint" id="scopes-hint">Separated by spaces. Empty: those of the tool server.</p><input type="text" id="scopes" name="scopes" maxlength="${SCOPES_CHARACTERS_MAX}" value="${terms?.scopes?.join(' ') ?? ''}" aria-describedby="scopes-hint" spellcheck="false"></div>
<div class="field"><label for="ends_at">Its last day</label><p class="hint" id="ends-hint">It ends with this day, in UTC. Empty: when somebody ends it.</p><input type="date" id="ends_at" name="ends_at" value="${terms?.ends_at?.slice(0, 10) ?? ''}" aria-describedby="ends-hint"></div>
<div class="field"><label for="key_days">New keys at least every so many days</label><p class="hint" id="keys-hint">It is warned when four fifths have passed, and suspended at the end. Empty: no deadline.</p><input type="number" id="key_days" name="key_days" min="1" max="${GOVERNED_DAYS_MAX}" value="${terms?.key_days ?? ''}" aria-describedby="keys-hint"></div>
<div class="field"><label for="review_days">Review at least every so many days</label><p class="hint" id="review-hint">Empty: no deadline.</p><input type="number" id="review_days" name="review_days" min="1" max="${GOVERNED_DAYS_MAX}" value="${terms?.review_days ?? ''}" aria-describedby="review-hint"></div>
<label class="check"><input type="checkbox" name="dpop_required" value="yes" ${terms?.dpop_required === true && html`checked`}> <span>Its tokens work only together with its key (DPoP)</span></label>`;
}

function toolFields({ toolServers }: TermChoices, terms: AgentTerms | null): Html {
  const isUnbounded = terms === null || terms.bound === null;
  return html`<fieldset><legend>Which tools may its tasks ever include?</legend>
${
  terms === null
    ? html`<p class="hint">Choose none for no bound but that of each task.</p>`
    : html`<label class="check"><input type="checkbox" name="unbounded" value="yes" ${isUnbounded && html`checked`}> <span>Any: only each task bounds them</span></label>`
}
${toolServers.length === 0 && html`<p>There is no accepted tool server yet.</p>`}
${toolServers.map(
  (server) =>
    html`<details><summary>${markedHtml(server.name)}</summary>${server.tools.map(
      (tool) =>
        html`<label class="check"><input type="checkbox" name="tool:${server.id}:${tool}" value="yes" ${terms?.bound?.[server.id]?.includes(tool) === true && html`checked`}> <span><code>${markedHtml(tool)}</code></span></label>`,
    )}</details>`,
)}</fieldset>`;
}
