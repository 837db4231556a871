import type { Store } from '../store/store.ts';
import type { Message, OffboardingMessageKind } from './channel.ts';
import { shownLine } from './shown_line.ts';

interface Entry {
  readonly id: string;
  readonly kind: OffboardingMessageKind;
  readonly subjectId: string;
}

/** Programs outside are told what ended, so that they end what they gave to it; why is nobody's business there. */
export async function composeOffboarding(
  { db }: Pick<Store, 'db'>,
  { id, kind, subjectId }: Entry,
): Promise<{ readonly message: Message } | { readonly dropped: string }> {
  if (kind === 'agent.offboarded') {
    const agent = await db.selectFrom('agents').selectAll().where('id', '=', subjectId).executeTakeFirst();
    if (agent === undefined) return { dropped: 'The agent was deleted.' };
    const { name, client_id: clientId, owner_id: ownerId } = agent;
    const about = { id: agent.id, name: shownLine(name), clientId, ownerId };
    return { message: { id, kind, occurredAt: agent.state_changed_at, agent: about } };
  }
  if (kind === 'person.offboarded') {
    const person = await db.selectFrom('people').selectAll().where('id', '=', subjectId).executeTakeFirst();
    if (person === undefined) return { dropped: 'The person was deleted.' };
    if (person.state === 'active') return { dropped: 'The person was enabled again before anybody could be told.' };
    const about = { id: person.id, name: shownLine(person.display_name), isDeleted: person.deleted_at !== null };
    return { message: { id, kind, occurredAt: person.updated_at, person: about } };
  }
  const task = await db.selectFrom('tasks').selectAll().where('id', '=', subjectId).executeTakeFirst();
  if (task === undefined) return { dropped: 'The task was deleted by retention.' };
  const about = {
    id: task.id,
    rootId: task.root_id,
    agentId: task.agent_id,
    requesterId: task.requester_id,
    how: task.state,
  };
  return { message: { id, kind, occurredAt: task.ended_at ?? task.expires_at, task: about } };
}
