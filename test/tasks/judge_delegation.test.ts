import { describe, expect, test } from 'vitest';
import type { HopFacts } from '../../src/tasks/delegation_facts.ts';
import { contentDigest, judgeHop, judgeLength, narrowTo, type Target } from '../../src/tasks/judge_delegation.ts';
import { DELEGATION_CHAIN_MAX } from '../../src/tasks/limits.ts';
import type { ToolConstraint } from '../../src/wire/constraints.ts';
import { CONSTRAINTS_IN_CHAIN_MAX, CONSTRAINTS_MAX } from '../../src/wire/limits.ts';

type Above = Parameters<typeof judgeHop>[0];

const above = (
  changes: { agents?: string[]; delegations?: number; constraints?: Above['constraints'] } = {},
): Above => ({
  task: { tools: { crm: ['read', 'write'], mail: ['send'] } },
  constraints: changes.constraints ?? [],
  lineage: {
    agent_ids: changes.agents ?? ['agt_a'],
    delegation_ids: Array.from({ length: changes.delegations ?? 1 }, (_, index) => `dlg_${index}`),
  },
});

const hop = (changes: Partial<HopFacts> = {}): HopFacts => ({
  taker: {
    id: 'agt_b',
    name: 'B',
    kind: 'service',
    trust_zone: '',
    bound: null,
    owner: { id: 'prs_b', is_administrator: false, groups: [] },
  },
  mayGive: true,
  mayTake: true,
  depthsMax: [1],
  ...changes,
});

const at = (server: string, part: Partial<Target> = {}): Target => ({
  server: { id: server, name: server },
  resource: `https://${server}.example`,
  ...part,
});

const atMost = (maximum: string, tool = 'write'): ToolConstraint => ({
  tool,
  argument: '/amount',
  must: { be: 'at_most', maximum },
});

const reasonOf = (result: { ok: boolean; refusal?: { reason: string } }) => result.refusal?.reason;

describe('a hop', () => {
  test('is judged by both ends, by circles and by what every agent of the chain allows', () => {
    expect(judgeHop(above(), hop())).toMatchObject({ ok: true });
    expect(reasonOf(judgeHop(above(), hop({ mayGive: false })))).toBe('peer_not_approved');
    expect(reasonOf(judgeHop(above(), hop({ mayTake: false })))).toBe('peer_not_approved');
    expect(reasonOf(judgeHop(above({ agents: ['agt_b', 'agt_a'] }), hop({ depthsMax: [8, 8] })))).toBe('looped');
    expect(reasonOf(judgeHop(above(), hop({ depthsMax: [0] })))).toBe('too_deep');
  });

  test.each([
    [[2, 1], true],
    [[1, 1], false],
    [[2, 0], false],
    [[8, 8], true],
  ])('after two agents that allow %j: %s', (depthsMax, isAllowed) => {
    expect(judgeHop(above({ agents: ['agt_1', 'agt_2'] }), hop({ depthsMax })).ok).toBe(isAllowed);
  });

  test('makes at most eight agents, whatever they allow', () => {
    const agents = (count: number) => Array.from({ length: count }, (_, index) => `agt_${index}`);
    const depthsMax = (count: number) => Array.from({ length: count }, () => 8);
    expect(judgeHop(above({ agents: agents(7) }), hop({ depthsMax: depthsMax(7) })).ok).toBe(true);
    expect(reasonOf(judgeHop(above({ agents: agents(8) }), hop({ depthsMax: depthsMax(8) })))).toBe('too_deep');
  });

  test('and a narrowing end after so many delegations', () => {
    expect(judgeLength(above({ delegations: DELEGATION_CHAIN_MAX - 1 })).ok).toBe(true);
    expect(reasonOf(judgeLength(above({ delegations: DELEGATION_CHAIN_MAX })))).toBe('chain_too_long');
  });
});

describe('what is handed on', () => {
  test('is what both may have, only at the tool servers that are named', () => {
    expect(narrowTo(above(), [at('crm')], null)).toMatchObject({ value: { tools: { crm: ['read', 'write'] } } });
    expect(narrowTo(above(), [at('crm')], { crm: ['write', 'erase'] })).toMatchObject({
      value: { tools: { crm: ['write'] } },
    });
    expect(narrowTo(above(), [at('crm', { tools: ['read', 'read'] }), at('mail')], null)).toMatchObject({
      value: { tools: { crm: ['read'], mail: ['send'] } },
    });
  });

  test('is refused where a name is not there, by whoever it is missing', () => {
    expect(reasonOf(narrowTo(above(), [at('crm', { tools: ['erase'] })], null))).toBe('tool_outside');
    expect(reasonOf(narrowTo(above(), [at('crm', { tools: ['read'] })], { crm: ['write'] }))).toBe('tool_outside');
    expect(reasonOf(narrowTo(above(), [at('files')], null))).toBe('resource_outside');
    expect(reasonOf(narrowTo(above(), [at('crm')], { mail: ['send'] }))).toBe('resource_outside');
    expect(reasonOf(narrowTo(above(), [at('crm'), at('crm')], null))).toBe('resource_outside');
    expect(reasonOf(narrowTo(above(), [at('toString')], null))).toBe('resource_outside');
  });

  test('keeps every constraint from above, also those of other tools, and names the tool server of its own', () => {
    const before = { ...atMost('50', 'send'), tool_server_id: 'mail' };
    const constraints = [atMost('10'), atMost('10')];
    expect(narrowTo(above({ constraints: [before] }), [at('crm', { constraints })], null)).toMatchObject({
      value: { constraints: [before, { ...atMost('10'), tool_server_id: 'crm' }] },
    });
    const about = at('crm', { tools: ['read'], constraints: [atMost('10')] });
    expect(reasonOf(narrowTo(above(), [about], null))).toBe('constraint_outside');
  });

  test('has so many constraints at most, with those above', () => {
    const many = (count: number, from = 0) => Array.from({ length: count }, (_, index) => atMost(String(from + index)));
    const before = many(CONSTRAINTS_IN_CHAIN_MAX - CONSTRAINTS_MAX).map((one) => ({ ...one, tool_server_id: 'crm' }));
    const asked = (count: number) => [at('crm', { constraints: many(count, 1_000) })];
    expect(narrowTo(above({ constraints: before }), asked(CONSTRAINTS_MAX), null).ok).toBe(true);
    expect(reasonOf(narrowTo(above({ constraints: before }), asked(CONSTRAINTS_MAX + 1), null))).toBe(
      'too_many_constraints',
    );
  });
});

test('the digest is of the content, not of the order in which it was asked for', () => {
  const [one, two] = [atMost('1'), atMost('2')].map((constraint) => ({ ...constraint, tool_server_id: 'crm' }));
  const digest = contentDigest({ tools: { crm: ['read'], mail: ['send'] }, constraints: [one!, two!] }, 60);
  expect(contentDigest({ tools: { mail: ['send'], crm: ['read'] }, constraints: [two!, one!] }, 60)).toBe(digest);
  for (const [tools, constraints, seconds] of [
    [{ crm: ['read'] }, [one!, two!], 60],
    [{ crm: ['read'], mail: ['send'] }, [one!], 60],
    [{ crm: ['read'], mail: ['send'] }, [one!, two!], 61],
    [{ crm: ['read'], mail: ['send'] }, [one!, two!], undefined],
  ] as const) {
    expect(contentDigest({ tools, constraints }, seconds)).not.toBe(digest);
  }
});
