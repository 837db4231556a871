import Router from '@koa/router';
import type { Context } from 'koa';
import type { SignedIn } from '../../model/person.ts';
import { isCsrfTokenValid } from '../../people/csrf.ts';
import { isSameOrigin } from '../../people/same_origin.ts';
import { REFUSALS, type Refusal, refusal } from '../../wire/refusals.ts';
import { issuerPath } from '../issuer.ts';
import { consentFor, decideConsent, interactionPurpose } from './consent.ts';
import { readForm } from './form.ts';
import type { InteractionOptions, Interactions } from './interactions.ts';
import { finishLogin } from './login.ts';
import { finishStepUp, stepUpAddress, stepUpOfTrip, waitingView } from './step_up.ts';
import { findTrip, finishTrip, signedInPerson, type Trip } from './trip.ts';

type RouteContext = Context & { params: { uid?: string } };

/** Where no administrator has defined kinds of work. */
const GENERAL_WORK = { code: 'general', label: 'General work' };

/** The pages between a client's request and our answer to it: sign in, consent, and the wait for a step-up. */
export function createInteractionRoutes(options: InteractionOptions): Router {
  const purposeCodes = options.purposeCodes.length > 0 ? options.purposeCodes : [GENERAL_WORK];
  const interactions: Interactions = { ...options, purposeCodes, path: issuerPath(options.store.issuer) };
  const router = new Router({ prefix: interactions.path });
  router.get('/interaction/:uid', (ctx) => onTrip(interactions, ctx as RouteContext, showTrip));
  router.get('/interaction/:uid/continue', (ctx) => onTrip(interactions, ctx as RouteContext, showWaiting));
  router.post('/interaction/:uid/consent', (ctx) => onForm(interactions, ctx as RouteContext, postConsent));
  router.post('/interaction/:uid/continue', (ctx) => onForm(interactions, ctx as RouteContext, postContinue));
  return router;
}

type Step = (interactions: Interactions, ctx: RouteContext, trip: Trip, signedIn: SignedIn) => Promise<void>;
type FormStep = (
  interactions: Interactions,
  ctx: RouteContext,
  trip: Trip,
  signedIn: SignedIn,
  fields: ReadonlyMap<string, string>,
) => Promise<void>;

async function onTrip(interactions: Interactions, ctx: RouteContext, step: Step): Promise<void> {
  const { provider, store, path } = interactions;
  ctx.set('Cache-Control', 'no-store');
  const trip = await findTrip(provider, ctx);
  if (!trip.ok) return refuse(interactions, ctx, trip.refusal);
  const signedIn = await signedInPerson(store, ctx);
  if (signedIn === null) {
    ctx.redirect(`${path}/sign-in?return_to=${encodeURIComponent(`${path}/interaction/${trip.value.uid}`)}`);
    ctx.status = 303;
    return;
  }
  const isLogin = trip.value.interaction.prompt.name === 'login';
  // Somebody else signed in meanwhile: what was begun in the first person's name is not finished in the second's.
  if (isLogin || trip.value.interaction.session?.accountId !== signedIn.person.id) {
    return finishLogin(provider, ctx, trip.value, signedIn);
  }
  await step(interactions, ctx, trip.value, signedIn);
}

function onForm(interactions: Interactions, ctx: RouteContext, step: FormStep): Promise<void> {
  return onTrip(interactions, ctx, async (_, __, trip, signedIn) => {
    const { store } = interactions;
    const crossSite = refusal('cross_site_request', 'The form was not sent from our own page. Nothing was changed.');
    if (!isSameOrigin(ctx.req.headers, store.issuer)) return refuse(interactions, ctx, crossSite);
    const fields = await readForm(ctx);
    if (!fields.ok) return refuse(interactions, ctx, fields.refusal);
    if (!isCsrfTokenValid(store, signedIn, interactionPurpose(trip), fields.value.get('csrf'))) {
      return refuse(interactions, ctx, crossSite);
    }
    await step(interactions, ctx, trip, signedIn, fields.value);
  });
}

const showTrip: Step = async (interactions, ctx, trip, signedIn) => {
  const stepUp = await stepUpOfTrip(interactions, trip, signedIn);
  if (stepUp !== null) {
    ctx.redirect(stepUpAddress(interactions.path, trip, stepUp));
    ctx.status = 303;
    return;
  }
  const view = await consentFor(interactions, trip, signedIn);
  if (!view.ok) return refuse(interactions, ctx, view.refusal);
  showPage(interactions, ctx, trip, interactions.pages.consent(view.value, signedIn));
};

const showWaiting: Step = async (interactions, ctx, trip, signedIn) => {
  const stepUp = await stepUpOfTrip(interactions, trip, signedIn);
  if (stepUp === null) return refuse(interactions, ctx, tripOver());
  showPage(
    interactions,
    ctx,
    trip,
    interactions.pages.stepUpWaiting(waitingView(interactions, trip, stepUp, signedIn), signedIn),
  );
};

const postConsent: FormStep = async (interactions, ctx, trip, signedIn, fields) => {
  const decided = await decideConsent(interactions, ctx, trip, signedIn, fields);
  if (!decided.ok) refuse(interactions, ctx, decided.refusal);
};

const postContinue: FormStep = async (interactions, ctx, trip, signedIn) => {
  const stepUp = await stepUpOfTrip(interactions, trip, signedIn);
  if (stepUp !== null) return finishStepUp(interactions, ctx, trip, stepUp);
  // The task ended while the tab waited; the client must ask for a new one.
  await finishTrip(interactions.provider, ctx, { error: 'access_denied', error_description: 'the task has ended' });
};

function tripOver(): Refusal {
  return refusal('task_ended', 'The task this request belongs to has ended.');
}

/** Browsers apply `form-action` to where a form's answer redirects, and ours ends at the client. */
function showPage({ pages }: Interactions, ctx: Context, trip: Trip, page: string): void {
  const redirect = new URL(trip.redirectUri);
  pages.setHeaders(ctx, [redirect.origin === 'null' ? redirect.protocol : redirect.origin]);
  ctx.type = 'html';
  ctx.body = page;
}

function refuse({ pages }: Interactions, ctx: Context, refused: Refusal): void {
  ctx.status = REFUSALS[refused.code].status;
  pages.setHeaders(ctx, []);
  ctx.type = 'html';
  ctx.body = pages.error(refused);
}
