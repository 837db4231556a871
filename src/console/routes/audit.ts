import { loadCheckpointKey } from '../../events/checkpoint_key.ts';
import { exportLog } from '../../events/export.ts';
import { EVENT_KINDS } from '../../events/kinds.ts';
import { verifyLog } from '../../events/verify.ts';
import { csrfToken } from '../../people/csrf.ts';
import { type Answer, showPage } from '../answer.ts';
import { AUDIT_ENTRIES_MAX } from '../limits.ts';
import { type EventRow, latestCheckpoint, latestEvents } from '../lookups.ts';
import { type AuditEntry, type AuditPage, auditPage } from '../pages/audit_page.ts';
import type { Entrances } from '../routing.ts';
import type { PersonalVisit } from '../visit.ts';
import { plural } from '../words.ts';

const PURPOSE = 'audit';

export function addAuditRoutes(at: Entrances): void {
  at.showAdministrator('/audit', (visit) => show(visit, null));
  at.postAdministrator('/audit/verify', PURPOSE, async (visit) => show(visit, await checkLog(visit)));
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

/** The same check as `countersign audit verify`, though by the server that is checked. */
async function checkLog({ store }: PersonalVisit): Promise<NonNullable<AuditPage['verification']>> {
  const { verifierKey } = await loadCheckpointKey(store);
  const checked = await verifyLog(exportLog(store), { verifierKey });
  if (checked.ok) {
    const { size, checkpoints } = checked.value;
    return { isWhole: true, words: `${plural(size, 'event')} and ${plural(checkpoints, 'checkpoint')} agree.` };
  }
  const { position, problem } = checked.refusal;
  return { isWhole: false, words: position === null ? problem : `From event ${position} on: ${problem}` };
}

function entry({ position, kind, body, at }: EventRow): AuditEntry {
  const words = Object.hasOwn(EVENT_KINDS, kind) ? EVENT_KINDS[kind as keyof typeof EVENT_KINDS] : kind;
  const ids = (JSON.parse(body) as { ids?: AuditEntry['ids'] }).ids ?? {};
  return { position, at, kind, words, ids };
}
