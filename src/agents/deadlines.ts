import type { Agent } from './agent.ts';

const DAY_MS = 86_400_000;

/** When an agent's keys must have changed; null if there is no such deadline. */
export function keysDueAt(agent: Pick<Agent, 'key_days' | 'key_changed_at'>): Date | null {
  return agent.key_days === null ? null : new Date(agent.key_changed_at.getTime() + agent.key_days * DAY_MS);
}

/** When what an agent was given must be reviewed again; null if never. */
export function reviewDueAt(agent: Pick<Agent, 'review_days' | 'reviewed_at'>): Date | null {
  return agent.review_days === null ? null : new Date(agent.reviewed_at.getTime() + agent.review_days * DAY_MS);
}

export function areKeysOverdue(agent: Pick<Agent, 'key_days' | 'key_changed_at'>, now: Date): boolean {
  const due = keysDueAt(agent);
  return due !== null && due.getTime() <= now.getTime();
}

export function isReviewOverdue(agent: Pick<Agent, 'review_days' | 'reviewed_at'>, now: Date): boolean {
  const due = reviewDueAt(agent);
  return due !== null && due.getTime() <= now.getTime();
}
