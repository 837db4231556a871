import type { Context } from 'koa';
import { findOrCreateInteractiveAgent } from '../../agents/interactive.ts';
import { findToolServerByResource } from '../../agents/tool_servers.ts';
import { append } from '../../events/append.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { ConsentView } from '../../model/consent_view.ts';
import type { SignedIn } from '../../model/person.ts';
import { csrfToken } from '../../people/csrf.ts';
import { transact } from '../../store/transact.ts';
import { startTask } from '../../tasks/start.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { INTERACTION_SECONDS } from '../limits.ts';
import { type Consent, readConsentForm } from './consent_form.ts';
import { loadConsentView } from './consent_view.ts';
import { saveGrant } from './grant.ts';
import type { Interactions } from './interactions.ts';
import { finishTrip, type Trip } from './trip.ts';

export function interactionPurpose(trip: Trip): string {
  return `interaction:${trip.uid}`;
}

/** What the consent page shows this person about this trip. */
export async function consentFor(
  { store, purposeCodes }: Interactions,
  trip: Trip,
  signedIn: SignedIn,
): Promise<Result<ConsentView, Refusal>> {
  const toolServer = await findToolServerByResource(store, trip.resource);
  if (toolServer?.state !== 'active') {
    return refused(refusal('tool_server_inactive', 'The tool server this program wants to use is not active here.'));
  }
  const view = await loadConsentView(store, {
    ...trip,
    toolServer,
    personName: signedIn.person.displayName,
    csrf: csrfToken(store, signedIn, interactionPurpose(trip)),
    purposeCodes,
  });
  if (view.tools.length === 0 && trip.asked?.tools !== undefined) {
    const words = `${toolServer.name} has none of the tools that the program asks for. Nothing was given to it.`;
    return refused(refusal('request_invalid', words));
  }
  if (view.tools.length === 0) {
    return refused(
      refusal('tool_server_inactive', `No tool of ${toolServer.name} has been accepted yet. Ask an administrator.`),
    );
  }
  return accepted(view);
}

/** Starts the task the person allowed and sends the browser back, or tells the client that they refused. */
export async function decideConsent(
  interactions: Interactions,
  ctx: Context,
  trip: Trip,
  signedIn: SignedIn,
  fields: ReadonlyMap<string, string>,
): Promise<Result<'finished', Refusal>> {
  const { provider, store } = interactions;
  const view = await consentFor(interactions, trip, signedIn);
  if (!view.ok) return view;
  const decision = fields.get('decision');
  if (decision !== 'allow' && decision !== 'refuse') {
    return refused(refusal('request_invalid', 'Allow or refuse with the buttons on the page.'));
  }
  const consent = decision === 'allow' ? readConsentForm(fields, view.value) : null;
  if (consent !== null && !consent.ok) return consent;
  // A second click must not start a second task. The mark goes away with the trip.
  const isFirst = await store.ephemeral.putIfAbsent(`consent:${trip.uid}`, '1', INTERACTION_SECONDS * 1000);
  if (!isFirst) return refused(refusal('conflict', 'You have answered this already.'));
  if (consent === null) {
    await recordRefusal(interactions, trip, signedIn);
    await finishTrip(provider, ctx, { error: 'access_denied', error_description: 'the person refused' });
    return accepted('finished');
  }
  const started = await startConsentedTask(interactions, trip, signedIn, view.value, consent.value);
  if (!started.ok) {
    await store.ephemeral.delete(`consent:${trip.uid}`);
    return started;
  }
  await finishTrip(provider, ctx, { consent: { grantId: started.value } });
  return accepted('finished');
}

async function startConsentedTask(
  { provider, store }: Interactions,
  trip: Trip,
  signedIn: SignedIn,
  view: ConsentView,
  consent: Consent,
): Promise<Result<string, Refusal>> {
  const personId = signedIn.person.id;
  const { agentId } = await findOrCreateInteractiveAgent(store, {
    clientId: trip.clientId,
    clientName: trip.clientName,
    personId,
  });
  const grantId = await saveGrant(provider, trip, personId, consent.seconds);
  const task = await startTask(store, {
    requesterId: personId,
    agentId,
    clientId: trip.clientId,
    purpose: consent.purpose,
    purposeCode: consent.purposeCode,
    tools: { [view.toolServer.id]: consent.tools },
    seconds: consent.seconds,
    budget: consent.budget,
    origin: 'consent',
    oauthGrantId: grantId,
  });
  if (!task.ok) {
    await provider.Grant.adapter.destroy(grantId);
    return task;
  }
  await transact(store, (tx, afterCommit) =>
    append(store, tx, afterCommit, {
      kind: 'consent.given',
      ids: {
        task: task.value.taskId,
        person: personId,
        agent: agentId,
        client: trip.clientId,
        tool_server: view.toolServer.id,
      },
    }),
  );
  return accepted(grantId);
}

async function recordRefusal({ store }: Interactions, trip: Trip, signedIn: SignedIn): Promise<void> {
  await transact(store, (tx, afterCommit) =>
    append(store, tx, afterCommit, {
      kind: 'consent.refused',
      ids: { person: signedIn.person.id, client: trip.clientId, resource: trip.resource },
    }),
  );
}
