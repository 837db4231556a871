import { csrfToken } from '../../people/csrf.ts';
import { deleteStream } from '../../signals/streams/delete_stream.ts';
import { overviewOfStreams } from '../../signals/streams/overview.ts';
import { retryDeadLetters } from '../../signals/transmit/dead_letters.ts';
import { type Answer, goTo, refuseWith, showPage } from '../answer.ts';
import { signalsPage } from '../pages/signals_page.ts';
import type { Entrances } from '../routing.ts';
import type { PersonalVisit } from '../visit.ts';

const PURPOSE = 'signals';

/** `transmitters`: the issuers whose events are acted on. */
export function addSignalRoutes(at: Entrances, transmitters: readonly string[]): void {
  at.showAdministrator('/signals', (visit) => show(visit, transmitters));
  at.postAdministrator('/signals/:id/retry', PURPOSE, retry);
  at.postAdministrator('/signals/:id/delete', PURPOSE, remove);
}

async function show({ store, signedIn }: PersonalVisit, transmitters: readonly string[]): Promise<Answer> {
  const streams = await overviewOfStreams(store);
  return showPage(signalsPage(streams, transmitters, csrfToken(store, signedIn, PURPOSE)));
}

async function retry({ store, signedIn, params }: PersonalVisit): Promise<Answer> {
  await retryDeadLetters(store, params.id ?? '', { kind: 'person', id: signedIn.person.id });
  return goTo('/signals');
}

async function remove({ store, signedIn, params }: PersonalVisit): Promise<Answer> {
  const by = { kind: 'person', id: signedIn.person.id } as const;
  const deleted = await deleteStream(store, { streamId: params.id ?? '', owner: null, by });
  return deleted.ok ? goTo('/signals') : refuseWith(deleted.refusal, '/signals');
}
