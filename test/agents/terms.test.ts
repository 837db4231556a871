import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AgentTerms, addedTools, someTermsSchema, splitChange, TERM_NAMES } from '../../src/agents/terms.ts';

const FILES = 'tsv_files';
const LEDGER = 'tsv_ledger';
const terms = (changes: Partial<AgentTerms> = {}): AgentTerms => ({
  bound: { [FILES]: ['read', 'write'] },
  scopes: null,
  delegation_depth_max: 1,
  trust_zone: 'finance',
  ends_at: '2027-01-01T00:00:00.000Z',
  dpop_required: true,
  key_days: 90,
  review_days: 180,
  ...changes,
});

describe('of a change, what only takes away holds at once and the rest waits', () => {
  test.each<[string, Partial<AgentTerms>, Partial<AgentTerms>, Partial<AgentTerms>]>([
    ['nothing differs', { bound: { [FILES]: ['write', 'read'] }, ends_at: '2027-01-01T01:00:00+01:00' }, {}, {}],
    ['a tool is taken', { bound: { [FILES]: ['read'] } }, { bound: { [FILES]: ['read'] } }, {}],
    ['all tools are taken', { bound: {} }, { bound: {} }, {}],
    [
      'a tool is added',
      { bound: { [FILES]: ['read', 'write', 'erase'] } },
      {},
      { bound: { [FILES]: ['read', 'write', 'erase'] } },
    ],
    [
      'one is taken and one of another server is added',
      { bound: { [FILES]: ['read'], [LEDGER]: ['pay'] } },
      { bound: { [FILES]: ['read'] } },
      { bound: { [FILES]: ['read'], [LEDGER]: ['pay'] } },
    ],
    ['the bound goes', { bound: null }, {}, { bound: null }],
    ['scopes are bounded', { scopes: ['a'] }, { scopes: ['a'] }, {}],
    ['depth falls', { delegation_depth_max: 0 }, { delegation_depth_max: 0 }, {}],
    ['depth rises', { delegation_depth_max: 2 }, {}, { delegation_depth_max: 2 }],
    ['another trust zone', { trust_zone: 'sales' }, {}, { trust_zone: 'sales' }],
    ['zones that look like years', { trust_zone: '2027-x' }, {}, { trust_zone: '2027-x' }],
    ['it ends earlier', { ends_at: '2026-12-01T00:00:00Z' }, { ends_at: '2026-12-01T00:00:00Z' }, {}],
    ['it ends later', { ends_at: '2028-01-01T00:00:00Z' }, {}, { ends_at: '2028-01-01T00:00:00Z' }],
    ['it never ends', { ends_at: null }, {}, { ends_at: null }],
    ['bearer tokens', { dpop_required: false }, {}, { dpop_required: false }],
    ['keys sooner', { key_days: 30 }, { key_days: 30 }, {}],
    ['keys never', { key_days: null }, {}, { key_days: null }],
    ['review later', { review_days: 365 }, {}, { review_days: 365 }],
  ])('%s', (_what, asked, now, waiting) => {
    expect(splitChange(terms(), asked)).toEqual({ now, waiting });
  });

  test('from no bound to one is narrower', () => {
    const { now, waiting } = splitChange(terms({ bound: null }), { bound: { [FILES]: ['read'] } });
    expect({ now, waiting }).toEqual({ now: { bound: { [FILES]: ['read'] } }, waiting: {} });
  });
});

const days = fc.option(fc.integer({ min: 1, max: 400 }));
const moment = fc.integer({ min: 1, max: 400 }).map((day) => new Date(Date.UTC(2027, 0, day)).toISOString());
const names = (...all: string[]) => fc.subarray(all, { minLength: 1 });
const anyTerms: fc.Arbitrary<AgentTerms> = fc.record({
  bound: fc.option(
    fc
      .record({ [FILES]: fc.option(names('a', 'b', 'c')), [LEDGER]: fc.option(names('a', 'd')) })
      .map((bound) =>
        Object.fromEntries(Object.entries(bound).filter((entry): entry is [string, string[]] => entry[1] !== null)),
      ),
  ),
  scopes: fc.option(fc.subarray(['x', 'y'])),
  delegation_depth_max: fc.integer({ min: 0, max: 8 }),
  trust_zone: fc.constantFrom('', 'a', 'b'),
  ends_at: fc.option(moment),
  dpop_required: fc.boolean(),
  key_days: days,
  review_days: days,
});

/** Every single thing that terms allow, so that more is a superset. */
function allowed(one: AgentTerms): Record<string, unknown> {
  return {
    tools:
      one.bound === null
        ? null
        : Object.entries(one.bound).flatMap(([id, tools]) => tools.map((tool) => `${id} ${tool}`)),
    scopes: one.scopes,
    depth: one.delegation_depth_max,
    until: one.ends_at === null ? Number.POSITIVE_INFINITY : Date.parse(one.ends_at),
    bearer: one.dpop_required ? 0 : 1,
    keys: one.key_days ?? Number.POSITIVE_INFINITY,
    review: one.review_days ?? Number.POSITIVE_INFINITY,
  };
}

function isWithin(less: unknown, more: unknown): boolean {
  if (more === null) return true;
  if (less === null) return false;
  if (Array.isArray(less)) return less.every((name) => (more as string[]).includes(name));
  return (less as number) <= (more as number);
}

test('whatever is asked, nothing at once is wider than before, and with what waits it is what was asked', () => {
  fc.assert(
    fc.property(anyTerms, anyTerms, (before, asked) => {
      const { now, waiting } = splitChange(before, asked);
      const after = { ...before, ...now } as AgentTerms;
      const [was, is] = [allowed(before), allowed(after)];
      for (const name of Object.keys(was)) expect(isWithin(is[name], was[name])).toBe(true);
      expect(after.trust_zone).toBe(before.trust_zone);
      const finally_ = { ...after, ...waiting } as AgentTerms;
      expect(splitChange(finally_, asked)).toEqual({ now: {}, waiting: {} });
    }),
  );
});

test('added tools are those of the second that the first lacks', () => {
  expect(addedTools({ [FILES]: ['read'] }, { [FILES]: ['read', 'write'], [LEDGER]: ['pay'] })).toEqual({
    [FILES]: ['write'],
    [LEDGER]: ['pay'],
  });
  expect(addedTools(null, { [FILES]: ['read'] })).toEqual({ [FILES]: ['read'] });
  expect(addedTools({}, null)).toEqual({});
});

test.each<[string, unknown]>([
  ['an unknown term', { nothing: 1 }],
  ['a depth beyond the longest chain', { delegation_depth_max: 9 }],
  ['a negative depth', { delegation_depth_max: -1 }],
  ['a zone with a blank', { trust_zone: 'a b' }],
  ['an end without a zone of time', { ends_at: '2027-01-01T00:00:00' }],
  ['no days', { key_days: 0 }],
  ['a scope with a blank', { scopes: ['a b'] }],
  ['a tool without a name', { bound: { tsv_x: [''] } }],
])('%s is refused', (_what, asked) => {
  expect(someTermsSchema.safeParse(asked).success).toBe(false);
});

test('every term has a way to narrow it', () => {
  expect([...TERM_NAMES].sort()).toEqual(Object.keys(terms()).sort());
});
