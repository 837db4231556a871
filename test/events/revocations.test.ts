import { describe, expect, it } from 'vitest';
import type { FollowedEvent } from '../../src/events/follow.ts';
import type { EventKind } from '../../src/events/kinds.ts';
import { revocationsOf, weightiest } from '../../src/events/revocations.ts';
import type { Revocation } from '../../src/wire/lease.ts';

const event = (kind: EventKind, ids: Record<string, string>) =>
  ({ kind, ids, at: new Date(1_000), position: 0 }) as unknown as FollowedEvent;

describe('what guards hear of an event', () => {
  it('a task or delegation that ended by itself is named', () => {
    expect(revocationsOf(event('task.ended', { task: 'tsk_a' }))).toEqual([{ what: 'task', id: 'tsk_a', at: 1 }]);
    expect(revocationsOf(event('delegation.revoked', { delegation: 'dlg_a' }))).toMatchObject([{ id: 'dlg_a' }]);
  });

  it.each([
    ['an agent', { with: 'agt_a' }],
    ['a person', { with: 'prs_a' }],
    ['its root task', { with: 'tsk_root', root: 'tsk_root' }],
  ])('one that ended with %s is not: every token of it names that', (_, ids) => {
    expect(revocationsOf(event('task.ended', { task: 'tsk_a', ...ids }))).toEqual([]);
  });

  it.each([
    ['a task in the middle', { with: 'tsk_middle', root: 'tsk_root' }],
    ['a delegation', { with: 'dlg_a', root: 'tsk_root' }],
  ])('one that ended with %s is: its tokens do not name that', (_, ids) => {
    expect(revocationsOf(event('task.ended', { task: 'tsk_a', ...ids }))).toMatchObject([
      { what: 'task', id: 'tsk_a' },
    ]);
  });
});

describe('where a lease has no room', () => {
  const of = (what: string, count: number): Revocation[] =>
    Array.from({ length: count }, (_, index) => ({ what, id: `${what} ${index}`, at: index }));

  it('agents, people, delegations and keys come before any number of tokens and tasks', () => {
    const first = [...of('agent', 2), ...of('person', 1), ...of('key', 1), ...of('delegation', 1)];
    const kept = weightiest([...first, ...of('task', 50), ...of('token', 50), ...of('grant', 50)], 10);
    expect(kept).toHaveLength(10);
    expect(kept.slice(0, 5)).toEqual(first);
    expect(kept.slice(5)).toEqual(of('task', 50).slice(-5));
  });

  it('of the same weight the newest are kept, in their order', () => {
    expect(weightiest(of('agent', 20), 5)).toEqual(of('agent', 20).slice(-5));
    expect(weightiest(of('task', 3), 5)).toEqual(of('task', 3));
  });
});
