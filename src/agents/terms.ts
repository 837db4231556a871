import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { ToolSelection } from '../store/postgres/tables.ts';
import type { Agent } from './agent.ts';
import {
  DELEGATION_DEPTH_MAX,
  GOVERNED_DAYS_MAX,
  SCOPE_NAME_CHARACTERS_MAX,
  SCOPES_PER_AGENT_MAX,
  TOOL_SERVERS_PER_BOUND_MAX,
  TOOLS_PER_SERVER_MAX,
  TRUST_ZONE_CHARACTERS_MAX,
} from './limits.ts';

const days = z.number().int().min(1).max(GOVERNED_DAYS_MAX).nullable();
const toolNames = z.array(z.string().min(1).max(512)).min(1).max(TOOLS_PER_SERVER_MAX);
// RFC 6749 §3.3
const scopeToken = z
  .string()
  .max(SCOPE_NAME_CHARACTERS_MAX)
  .regex(/^[!#-[\]-~]+$/, 'a scope is visible ASCII without quotes');

/** What governs an agent beside who answers for it and its keys: as columns, over REST, and in a change that waits. */
const termsSchema = z.strictObject({
  /** Tool names per tool server id that its tasks may ever include; null means no bound but the task. */
  bound: z
    .record(z.string().max(64), toolNames)
    .refine((bound) => Object.keys(bound).length <= TOOL_SERVERS_PER_BOUND_MAX, 'it names too many tool servers')
    .transform(
      (bound): ToolSelection => Object.fromEntries(Object.entries(bound).map(([id, names]) => [id, distinct(names)])),
    )
    .nullable(),
  /** Scopes its tokens may have; null means those of their resource. */
  scopes: z.array(scopeToken).max(SCOPES_PER_AGENT_MAX).transform(distinct).nullable(),
  delegation_depth_max: z.number().int().min(0).max(DELEGATION_DEPTH_MAX),
  trust_zone: z
    .string()
    .max(TRUST_ZONE_CHARACTERS_MAX)
    .regex(/^[a-z0-9_-]*$/, 'use a-z, 0-9, "_" and "-"'),
  /** RFC 3339; it does nothing from this moment on. */
  ends_at: z.iso.datetime({ offset: true }).nullable(),
  dpop_required: z.boolean(),
  key_days: days,
  review_days: days,
});

export type AgentTerms = z.infer<typeof termsSchema>;
export const someTermsSchema = termsSchema.partial();
/** A term that is left out stays as it is. */
export type SomeTerms = { readonly [Name in keyof AgentTerms]?: AgentTerms[Name] | undefined };
export const TERM_NAMES = Object.keys(termsSchema.shape) as readonly (keyof AgentTerms)[];

function distinct(names: readonly string[]): string[] {
  return [...new Set(names)].sort();
}

export function termsOf(agent: Agent): AgentTerms {
  return {
    bound: agent.bound,
    scopes: agent.scopes === null ? null : [...agent.scopes],
    delegation_depth_max: agent.delegation_depth_max,
    trust_zone: agent.trust_zone,
    ends_at: agent.ends_at?.toISOString() ?? null,
    dpop_required: agent.dpop_required,
    key_days: agent.key_days,
    review_days: agent.review_days,
  };
}

/** As columns of the agent's row. */
export function termColumns(terms: SomeTerms) {
  const { bound, scopes, ends_at: endsAt, ...plain } = terms;
  const given = Object.fromEntries(Object.entries(plain).filter(([, value]) => value !== undefined));
  return {
    ...given,
    ...(bound === undefined ? {} : { bound: jsonOrNull(bound) }),
    ...(scopes === undefined ? {} : { scopes: jsonOrNull(scopes) }),
    ...(endsAt === undefined ? {} : { ends_at: endsAt === null ? null : new Date(endsAt) }),
  };
}

function jsonOrNull(value: unknown): string | null {
  return value === null ? null : JSON.stringify(value);
}

/**
 * What of an asked change may happen at once, because it only takes away, and what gives more than there is now and waits
 * for another person. A list that loses some and gains others loses at once and gains later.
 */
export function splitChange(
  current: AgentTerms,
  asked: SomeTerms,
): { readonly now: SomeTerms; readonly waiting: SomeTerms } {
  const now: Record<string, unknown> = {};
  const waiting: Record<string, unknown> = {};
  for (const name of TERM_NAMES) {
    const to = asked[name];
    if (to === undefined || isSame(name, current[name], to)) continue;
    const atOnce = NARROWED[name](current[name] as never, to as never);
    if (!isSame(name, atOnce, current[name])) now[name] = atOnce;
    if (!isSame(name, atOnce, to)) waiting[name] = to;
  }
  return { now: now as SomeTerms, waiting: waiting as SomeTerms };
}

/** The part of `to` that is within `from`. */
const NARROWED: {
  readonly [Name in keyof AgentTerms]: (from: AgentTerms[Name], to: AgentTerms[Name]) => AgentTerms[Name];
} = {
  bound: (from, to) => (from === null ? to : to === null ? from : intersect(from, to)),
  scopes: (from, to) => (from === null ? to : to === null ? from : from.filter((scope) => to.includes(scope))),
  delegation_depth_max: Math.min,
  // Policy decides by it, and which of two zones is the narrower one only people know.
  trust_zone: (from) => from,
  ends_at: (from, to) => (from === null ? to : to === null ? from : Date.parse(to) < Date.parse(from) ? to : from),
  dpop_required: (from, to) => from || to,
  key_days: shorter,
  review_days: shorter,
};

function shorter(from: number | null, to: number | null): number | null {
  return from === null ? to : to === null ? from : Math.min(from, to);
}

function intersect(from: ToolSelection, to: ToolSelection): ToolSelection {
  const both = Object.entries(from).map(([id, names]) => [id, names.filter((name) => to[id]?.includes(name))] as const);
  return Object.fromEntries(both.filter(([, names]) => names.length > 0));
}

/** The order of tools and scopes means nothing, nor does how a moment is written. */
function isSame(name: keyof AgentTerms, one: unknown, other: unknown): boolean {
  if (name === 'ends_at' && one !== null && other !== null)
    return Date.parse(String(one)) === Date.parse(String(other));
  return isDeepStrictEqual(ordered(one), ordered(other));
}

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return [...value].sort();
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, ordered(inner)]));
}

/** Tools of `to` that `from` does not have, per tool server; nothing if `to` is unbounded. */
export function addedTools(from: ToolSelection | null, to: ToolSelection | null): ToolSelection {
  if (to === null) return {};
  const added = Object.entries(to).map(
    ([id, names]) => [id, names.filter((name) => !from?.[id]?.includes(name))] as const,
  );
  return Object.fromEntries(added.filter(([, names]) => names.length > 0));
}
