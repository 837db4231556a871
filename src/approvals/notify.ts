import { sql } from 'kysely';
import { markedLine } from '../kernel/marked_text.ts';
import type { Store } from '../store/store.ts';
import type { Message, MessageKind, StepUpNotice } from './channel.ts';
import { NOTICE_TEXT_CHARACTERS_MAX } from './limits.ts';
import { statusOf } from './status.ts';

/** What a message says, read when it is sent; or why there is nothing to say any more. */
export type Composed = { readonly message: Message } | { readonly dropped: string };

export async function composeMessage(
  store: Store,
  entry: { readonly id: string; readonly kind: MessageKind; readonly stepUpId: string },
): Promise<Composed> {
  const found = await store.db
    .selectFrom('step_ups as s')
    .innerJoin('people as r', 'r.id', 's.requester_id')
    .innerJoin('agents as a', 'a.id', 's.agent_id')
    .innerJoin('tool_servers as v', 'v.id', 's.tool_server_id')
    .select(['s.id', 's.state', 's.reason', 's.expires_at', 's.opened_at', 's.decided_at', 's.tool_name'])
    .select(['r.display_name as requester', 'a.name as agent', 'v.name as server'])
    .select(sql<boolean>`s.expires_at > clock_timestamp()`.as('is_running'))
    .where('s.id', '=', entry.stepUpId)
    .executeTakeFirst();
  if (found === undefined) return { dropped: 'The step-up was deleted by retention.' };
  const { state } = found;
  const occurredAt = entry.kind === 'step_up.opened' ? found.opened_at : found.decided_at;
  if (occurredAt === null || state === 'registered') return { dropped: 'The step-up has not come that far.' };
  if (entry.kind === 'step_up.opened' && (state !== 'open' || !found.is_running)) {
    return { dropped: 'The step-up ended before anybody could be told of it.' };
  }
  const stepUp: StepUpNotice = {
    id: found.id,
    state,
    toolServer: shownLine(found.server),
    tool: shownLine(found.tool_name),
    agent: shownLine(found.agent),
    requester: shownLine(found.requester),
    expiresAt: found.expires_at,
    approvalUrl: statusOf(store, found).approval_url,
  };
  return { message: { id: entry.id, kind: entry.kind, occurredAt, stepUp } };
}

/** Agents choose most of these texts (invariant 9), and where a channel shows them we cannot escape. */
function shownLine(text: string): string {
  const characters = [...markedLine(text.slice(0, NOTICE_TEXT_CHARACTERS_MAX + 1))];
  if (characters.length <= NOTICE_TEXT_CHARACTERS_MAX) return characters.join('');
  return `${characters.slice(0, NOTICE_TEXT_CHARACTERS_MAX).join('')}…`;
}
