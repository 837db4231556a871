import { EVENT_KINDS } from '../../events/kinds.ts';
import { csrfToken } from '../../people/csrf.ts';
import { type Answer, showPage } from '../answer.ts';
import { AUDIT_ENTRIES_MAX } from '../limits.ts';
import { type EventRow, latestCheckpoint, latestEvents } from '../lookups.ts';
import { type AuditEntry, type AuditPage, auditPage } from '../pages/audit_page.ts';
import type { Entrances } from '../routing.ts';
import type { PersonalVisit } from '../visit.ts';

const PURPOSE = 'audit';

export function addAuditRoutes(at: Entrances): void {
  at.showAdministrator('/audit', (visit) => show(visit, null));
  at.postAdministrator('/audit/verify', PURPOSE, async (visit) => show(visit, await visit.verifyLog()));
}

async function show(visit: PersonalVisit, verification: AuditPage['verification']): Promise<Answer> {
  const { store, signedIn } = visit;
  return showPage(
    auditPage({
      entries: (await latestEvents(store, AUDIT_ENTRIES_MAX)).map(entry),
      checkpoint: await latestCheckpoint(store),
      verification,
      csrf: csrfToken(store, signedIn, PURPOSE),
    }),
  );
}

function entry({ position, kind, body, at }: EventRow): AuditEntry {
  const words = Object.hasOwn(EVENT_KINDS, kind) ? EVENT_KINDS[kind as keyof typeof EVENT_KINDS] : kind;
  const ids = (JSON.parse(body) as { ids?: AuditEntry['ids'] }).ids ?? {};
  return { position, at, kind, words, ids };
}
