import { describe, expect, it } from 'vitest';
import { canEverBeMet, gatesMet, mayVoteFor, needsPasskey, type Voter } from '../../src/model/eligibility.ts';
import type { Gate, Requirements } from '../../src/model/requirements.ts';
import { tally } from '../../src/model/step_up.ts';

const chain = {
  requesterId: 'requester',
  accountableIds: ['owner'],
  keyHolderIds: ['former'],
  toolServerOwnerId: 'keeper',
};
const person = (id: string, more: Partial<Voter> = {}): Voter => ({
  id,
  isActive: true,
  isAdministrator: false,
  groups: [],
  ...more,
});
const administrator = (id: string) => person(id, { isAdministrator: true });
const gate = (name: string, approvers: string[], quorum = 1): Gate => ({
  name,
  policy_id: name,
  why: 'because',
  approvers,
  quorum,
});
const requirements = (gates: Gate[], tier: Requirements['tier'] = 'standard'): Requirements => ({
  gates,
  tier,
  ttl_seconds: 300,
  max_uses: 1,
  timeout_seconds: 600,
});

describe('who may vote (invariant 6)', () => {
  it('the requester only where the gate names them', () => {
    expect(mayVoteFor(gate('g', ['requester']), person('requester'), chain, false)).toBe(true);
    expect(mayVoteFor(gate('g', ['administrators']), administrator('requester'), chain, false)).toBe(false);
    expect(mayVoteFor(gate('g', ['person:requester']), person('requester'), chain, false)).toBe(false);
  });

  it("the agent's owner never, not as administrator, by name, or as anybody else", () => {
    const everything = gate('g', ['requester', 'owner', 'administrators', 'person:owner']);
    expect(mayVoteFor(everything, administrator('owner'), chain, false)).toBe(false);
  });

  it('an administrator, a named person, the owner of the tool server; nobody who is disabled or unnamed', () => {
    expect(mayVoteFor(gate('g', ['administrators']), administrator('x'), chain, false)).toBe(true);
    expect(mayVoteFor(gate('g', ['administrators']), person('x'), chain, false)).toBe(false);
    expect(mayVoteFor(gate('g', ['person:x']), person('x'), chain, false)).toBe(true);
    expect(mayVoteFor(gate('g', ['owner']), person('keeper'), chain, false)).toBe(true);
    expect(mayVoteFor(gate('g', ['person:x']), person('x', { isActive: false }), chain, false)).toBe(false);
    expect(mayVoteFor(gate('g', ['group:sre']), person('x'), chain, false)).toBe(false);
  });
});

describe('quorum', () => {
  it('counts a person once over all gates', () => {
    const gates = [gate('a', ['administrators']), gate('b', ['administrators'])];
    expect([...gatesMet(gates, [administrator('x'), administrator('x')], chain, false)]).toHaveLength(1);
    expect([...gatesMet(gates, [administrator('x'), administrator('y')], chain, false)].sort()).toEqual(['a', 'b']);
  });

  it('seats people where they are needed, whatever their order', () => {
    const gates = [gate('any', ['administrators', 'person:p']), gate('p only', ['person:p'])];
    for (const voters of [
      [person('p'), administrator('x')],
      [administrator('x'), person('p')],
    ]) {
      expect(gatesMet(gates, voters, chain, false).size).toBe(2);
    }
  });

  it('of two is never met by one, in single-operator mode either', () => {
    const two = [gate('g', ['administrators'], 2)];
    expect(gatesMet(two, [administrator('x')], chain, true).size).toBe(0);
    expect(canEverBeMet(two, [administrator('x')], chain, true)).toBe(false);
    expect(canEverBeMet(two, [administrator('x'), administrator('y')], chain, false)).toBe(true);
  });

  it('of two, or of two gates, is never met in single-operator mode: a second account is no second person', () => {
    const both = [administrator('x'), administrator('y')];
    for (const gates of [[gate('g', ['administrators'], 2)], [gate('a', ['administrators']), gate('b', ['owner'])]]) {
      expect(gatesMet(gates, both, chain, true).size).toBe(0);
      expect(canEverBeMet(gates, both, chain, true)).toBe(false);
    }
  });

  it('is impossible when everybody is in the chain: refused at once (invariant 4)', () => {
    expect(canEverBeMet([gate('g', ['administrators'])], [administrator('owner')], chain, false)).toBe(false);
    expect(canEverBeMet([gate('g', ['group:nobody'])], [administrator('x')], chain, false)).toBe(false);
  });
});

describe('a passkey', () => {
  const one = gate('g', ['requester', 'administrators']);

  it('is needed for self-approval, above the standard tier, and where two people are needed', () => {
    expect(needsPasskey(requirements([one]), 'requester', chain, false)).toBe(true);
    expect(needsPasskey(requirements([one]), 'x', chain, false)).toBe(false);
    expect(needsPasskey(requirements([one], 'passkey'), 'x', chain, false)).toBe(true);
    expect(needsPasskey(requirements([{ ...one, quorum: 2 }]), 'x', chain, false)).toBe(true);
    expect(needsPasskey(requirements([one, { ...one, name: 'h' }]), 'x', chain, false)).toBe(true);
  });

  it('is not asked for in single-operator mode', () => {
    expect(needsPasskey(requirements([one], 'critical'), 'requester', chain, true)).toBe(false);
  });
});

describe('a tally', () => {
  const asked = requirements([gate('g', ['administrators'], 2)]);
  const approve = (voter: Voter) => ({ voter, decision: 'approve' as const });

  it('stays open until the quorum, then approves with the gates that were met', () => {
    expect(tally(asked, [approve(administrator('x'))], chain, false)).toEqual({ state: 'open', gates: [] });
    const both = [approve(administrator('x')), approve(administrator('y'))];
    expect(tally(asked, both, chain, false)).toEqual({ state: 'approved', gates: ['g'] });
  });

  it('does not count those who may not vote any more', () => {
    const gone = person('y', { isAdministrator: true, isActive: false });
    expect(tally(asked, [approve(administrator('x')), approve(gone)], chain, false).state).toBe('open');
  });

  it('is a denial with one denial, whoever approved', () => {
    const votes = [
      approve(administrator('x')),
      approve(administrator('y')),
      { voter: administrator('z'), decision: 'deny' as const },
    ];
    expect(tally(asked, votes, chain, false).state).toBe('denied');
  });
});
