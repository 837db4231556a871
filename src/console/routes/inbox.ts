import { listToolServers } from '../../agents/tool_servers.ts';
import { listStepUps } from '../../approvals/inbox.ts';
import { type Answer, showPage } from '../answer.ts';
import { INBOX_ENTRIES_MAX } from '../limits.ts';
import { inboxPage } from '../pages/inbox_page.ts';
import type { Entrances } from '../routing.ts';
import type { PersonalVisit } from '../visit.ts';

export function addInboxRoutes(at: Entrances): void {
  at.showPerson('/', showInbox);
}

async function showInbox({ store, signedIn }: PersonalVisit): Promise<Answer> {
  const { id: personId, isAdministrator } = signedIn.person;
  const open = await listStepUps(store, { personId, open: true, limit: INBOX_ENTRIES_MAX });
  const all = await listStepUps(store, { personId, open: false, limit: INBOX_ENTRIES_MAX });
  const servers = isAdministrator ? await listToolServers(store) : [];
  return showPage(
    inboxPage({
      open,
      past: all.filter((one) => one.state !== 'open'),
      isAdministrator,
      toolServersWaiting: servers.filter((server) => server.state === 'pending').length,
    }),
  );
}
