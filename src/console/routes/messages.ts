import { listMessages, retryMessage } from '../../approvals/dead_letters.ts';
import { csrfToken } from '../../people/csrf.ts';
import { type Answer, goTo, refuseWith, showPage } from '../answer.ts';
import { FAILED_MESSAGES_SHOWN_MAX } from '../limits.ts';
import { messagesPage } from '../pages/messages_page.ts';
import type { Entrances } from '../routing.ts';
import type { PersonalVisit } from '../visit.ts';

const PURPOSE = 'messages';

const WORDS: Readonly<Record<string, string>> = {
  'step_up.opened': 'A call waits for approval',
  'step_up.decided': 'A request for approval ended',
  'agent.offboarded': 'An agent was offboarded',
  'person.offboarded': 'A person was offboarded',
  'task.ended': 'A task ended',
};

export function addMessageRoutes(at: Entrances): void {
  at.showAdministrator('/messages', show);
  at.postAdministrator('/messages/:id/retry', PURPOSE, retry);
}

async function show({ store, signedIn }: PersonalVisit): Promise<Answer> {
  const failed = await listMessages(store, { state: 'failed', limit: FAILED_MESSAGES_SHOWN_MAX });
  const entries = failed.map((message) => ({
    id: message.id,
    channel: message.channel,
    words: WORDS[message.kind] ?? message.kind,
    subjectId: message.subject_id,
    attempts: message.attempts,
    createdAt: message.created_at,
    failedAt: message.finished_at,
    lastError: message.last_error,
  }));
  return showPage(messagesPage(entries, csrfToken(store, signedIn, PURPOSE)));
}

async function retry({ store, params }: PersonalVisit): Promise<Answer> {
  const retried = await retryMessage(store, params.id ?? '');
  return retried.ok ? goTo('/messages') : refuseWith(retried.refusal, '/messages');
}
