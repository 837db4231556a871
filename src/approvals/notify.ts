import { sql } from 'kysely';
import type { Store } from '../store/store.ts';
import type { Message, MessageKind, StepUpMessageKind, StepUpNotice } from './channel.ts';
import { composeOffboarding } from './offboarding_notice.ts';
import { shownLine } from './shown_line.ts';
import { statusOf } from './status.ts';

/** What a message says, read when it is sent; or why there is nothing to say any more. */
type Composed = { readonly message: Message } | { readonly dropped: string };

export function composeMessage(
  store: Store,
  entry: { readonly id: string; readonly kind: MessageKind; readonly subjectId: string },
): Promise<Composed> {
  const { id, kind, subjectId } = entry;
  return kind === 'step_up.opened' || kind === 'step_up.decided'
    ? composeStepUp(store, { id, kind, subjectId })
    : composeOffboarding(store, { id, kind, subjectId });
}

async function composeStepUp(
  store: Store,
  entry: { readonly id: string; readonly kind: StepUpMessageKind; readonly subjectId: string },
): Promise<Composed> {
  const found = await store.db
    .selectFrom('step_ups as s')
    .innerJoin('people as r', 'r.id', 's.requester_id')
    .innerJoin('agents as a', 'a.id', 's.agent_id')
    .innerJoin('tool_servers as v', 'v.id', 's.tool_server_id')
    .select(['s.id', 's.state', 's.reason', 's.expires_at', 's.opened_at', 's.decided_at', 's.tool_name'])
    .select(['r.display_name as requester', 'a.name as agent', 'v.name as server'])
    .select(sql<boolean>`s.expires_at > clock_timestamp()`.as('is_running'))
    .where('s.id', '=', entry.subjectId)
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
