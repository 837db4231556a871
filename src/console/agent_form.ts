import type { JWK } from 'jose';
import { type AgentTerms, type SomeTerms, someTermsSchema } from '../agents/terms.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { parseStrictJson } from '../kernel/strict_json.ts';
import type { ToolSelection } from '../store/postgres/tables.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { Form } from './form.ts';
import { TOOL_SELECTION_BYTES_MAX } from './limits.ts';

/** What a form of an agent says that differs from what the page showed; of a new agent, everything. */
export function readTerms(form: Form, shown: AgentTerms | null): Result<SomeTerms, Refusal> {
  const bound = chosenTools(form);
  const isUnbounded = shown === null ? Object.keys(bound).length === 0 : form.get('unbounded') === 'yes';
  const scopes = (form.get('scopes') ?? '').split(/\s+/).filter((scope) => scope !== '');
  const lastDay = (form.get('ends_at') ?? '').trim();
  const isSameDay = shown !== null && lastDay === (shown.ends_at?.slice(0, 10) ?? '');
  const read = someTermsSchema.safeParse({
    bound: isUnbounded ? null : bound,
    scopes: scopes.length === 0 ? null : scopes,
    delegation_depth_max: number(form.get('delegation_depth_max')) ?? 0,
    trust_zone: (form.get('trust_zone') ?? '').trim(),
    // The form knows days only: an end at another time of the same day stays.
    ...(isSameDay ? {} : { ends_at: lastDay === '' ? null : `${lastDay}T23:59:59Z` }),
    dpop_required: form.get('dpop_required') === 'yes',
    key_days: number(form.get('key_days')),
    review_days: number(form.get('review_days')),
  });
  if (read.success) return accepted(read.data);
  const issue = read.error.issues[0]!;
  return refused(refusal('request_invalid', `"${issue.path.join('.')}": ${issue.message}.`));
}

function number(text: string | undefined): number | null {
  const trimmed = (text ?? '').trim();
  return trimmed === '' ? null : Number(trimmed);
}

/** Fields named `tool:<server id>:<tool name>`. */
function chosenTools(form: Form): ToolSelection {
  const chosen = new Map<string, string[]>();
  for (const name of form.keys()) {
    const [, server, tool] = /^tool:([a-z]{3}_[a-z2-7]{26}):(.+)$/s.exec(name) ?? [];
    if (server !== undefined && tool !== undefined) chosen.set(server, [...(chosen.get(server) ?? []), tool]);
  }
  return Object.fromEntries(chosen);
}

/** A selection that a page of ours wrote into a hidden field; undefined if there is none. */
export function readSelection(form: Form, name: string): Result<ToolSelection | undefined, Refusal> {
  const text = form.get(name);
  if (text === undefined) return accepted(undefined);
  const parsed = parseStrictJson(text, { bytesMax: TOOL_SELECTION_BYTES_MAX });
  const read = parsed.ok ? someTermsSchema.shape.bound.safeParse(parsed.value) : undefined;
  return read?.success === true && read.data != null
    ? accepted(read.data)
    : refused(refusal('request_invalid', 'The form does not say which tools. Open the page again.'));
}

/** Lines `name=value`; what surrounds the two is no part of them. */
export function readClaims(form: Form, name: string): Result<Readonly<Record<string, string>>, Refusal> {
  const claims = new Map<string, string>();
  const lines = (form.get(name) ?? '').split('\n').map((line) => line.trim());
  for (const [index, line] of lines.entries()) {
    if (line === '') continue;
    const end = line.indexOf('=');
    const claim = line.slice(0, Math.max(end, 0)).trim();
    if (claim === '') {
      return refused(refusal('request_invalid', `Line ${index + 1} of the claims is not of the form name=value.`));
    }
    if (claims.has(claim)) return refused(refusal('request_invalid', `The claim "${claim}" is there twice.`));
    claims.set(claim, line.slice(end + 1).trim());
  }
  return accepted(Object.fromEntries(claims));
}

/** The JSON Web Key Set that somebody pasted. */
export function readKeySet(form: Form): Result<JWK[], Refusal> {
  const parsed = parseStrictJson(form.get('jwks') ?? '');
  const keys = parsed.ok ? (parsed.value as { keys?: unknown } | null)?.keys : undefined;
  if (Array.isArray(keys) && keys.every((key) => typeof key === 'object' && key !== null))
    return accepted(keys as JWK[]);
  const problem = parsed.ok ? 'It has no list "keys".' : parsed.refusal.message;
  return refused(refusal('request_invalid', `The public keys must be a JSON Web Key Set. ${problem}`));
}
