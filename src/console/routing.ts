import { randomUUID } from 'node:crypto';
import type Router from '@koa/router';
import type { Context } from 'koa';
import type { JsonObject } from '../kernel/json.ts';
import { isCsrfTokenValid } from '../people/csrf.ts';
import { isSameOrigin } from '../people/same_origin.ts';
import { findSession } from '../people/session.ts';
import { readSessionCookie } from '../people/session_cookie.ts';
import { isOutage } from '../store/outage.ts';
import { refusal } from '../wire/refusals.ts';
import { type Answer, goTo, refuseWith, send } from './answer.ts';
import { basePathOf } from './base_path.ts';
import { type Form, readPosted } from './form.ts';
import { brokenPage } from './pages/error_page.ts';
import { ownPath } from './return_to.ts';
import { type ConsoleParts, frameOf, type PersonalVisit, type Visit } from './visit.ts';

type Show<V extends Visit> = (visit: V) => Promise<Answer>;
type Change<V extends Visit> = (visit: V, form: Form, json: JsonObject | null) => Promise<Answer>;

/** How a route is entered. Reading changes nothing; what changes something is posted from a page of ours (T39). */
export interface Entrances {
  /** For everybody. */
  show(path: string, handler: Show<Visit>): void;
  post(path: string, handler: Change<Visit>): void;
  /** For people who are signed in; others are sent to sign in and come back. */
  showPerson(path: string, handler: Show<PersonalVisit>): void;
  /** `purpose` names what the hidden token of the form was made for; `{name}` stands for a part of the path. */
  postPerson(path: string, purpose: string, handler: Change<PersonalVisit>): void;
  showAdministrator(path: string, handler: Show<PersonalVisit>): void;
  postAdministrator(path: string, purpose: string, handler: Change<PersonalVisit>): void;
}

export function entrances(router: Router, parts: ConsoleParts): Entrances {
  const serve = (ctx: Context, handler: Show<Visit>) => answerVisit(ctx, parts, handler);
  return {
    show: (path, handler) => router.get(path, (ctx) => serve(ctx, handler)),
    post: (path, handler) => router.post(path, (ctx) => serve(ctx, posted(ctx, handler))),
    showPerson: (path, handler) => router.get(path, (ctx) => serve(ctx, personal(ctx, handler))),
    postPerson: (path, purpose, handler) =>
      router.post(path, (ctx) => serve(ctx, posted(ctx, confirmed(ctx, purpose, handler)))),
    showAdministrator: (path, handler) => router.get(path, (ctx) => serve(ctx, personal(ctx, administrator(handler)))),
    postAdministrator: (path, purpose, handler) =>
      router.post(path, (ctx) =>
        serve(
          ctx,
          posted(
            ctx,
            confirmed(ctx, purpose, (visit, form, json) => administrator((one) => handler(one, form, json))(visit)),
          ),
        ),
      ),
  };
}

async function answerVisit(ctx: Context, parts: ConsoleParts, handler: Show<Visit>): Promise<void> {
  const gone = new AbortController();
  ctx.res.once('close', () => gone.abort());
  const base = basePathOf(parts.store.issuer);
  let visit: Visit = { ...parts, ...addressOf(ctx), base, signedIn: null, signal: gone.signal };
  let answer: Answer;
  try {
    visit = { ...visit, signedIn: await findSession(parts.store, readSessionCookie(ctx.get('cookie'))) };
    answer = await handler(visit);
  } catch (error) {
    answer = failure(parts, ctx, error);
  }
  send(ctx, answer, frameOf(visit), wantsJson(ctx));
}

/** Of a page that only shows something, an outage changed nothing; what was posted may have been done. */
function failure({ store }: ConsoleParts, ctx: Context, error: unknown): Answer {
  const reference = randomUUID();
  const isPassing = isOutage(error);
  store.log.error({ err: error, reference, method: ctx.method }, 'a page failed');
  if (isPassing) ctx.set('Retry-After', '1');
  if (isPassing && ctx.method !== 'POST') return refuseWith(refusal('unavailable', 'The database does not answer.'));
  return { kind: 'page', page: brokenPage(reference), status: isPassing ? 503 : 500 };
}

function addressOf(ctx: Context): Pick<Visit, 'params' | 'query' | 'cookies'> {
  return {
    params: (ctx.params ?? {}) as Record<string, string>,
    query: new URLSearchParams(ctx.querystring),
    cookies: ctx.headers.cookie,
  };
}

/** Browsers ask for HTML by name when a person goes to a page; scripts do not. */
function wantsJson(ctx: Context): boolean {
  return !ctx.get('accept').includes('text/html');
}

function posted(ctx: Context, handler: Change<Visit>): Show<Visit> {
  return async (visit) => {
    if (!isSameOrigin(ctx.headers, visit.store.issuer)) {
      return refuseWith(refusal('cross_site_request', 'The request did not come from a page of this server.'));
    }
    const body = await readPosted(ctx);
    return body.ok ? handler(visit, body.value.form, body.value.json) : refuseWith(body.refusal);
  };
}

function personal(ctx: Context, handler: Show<PersonalVisit>): Show<Visit> {
  return async (visit) => {
    if (visit.signedIn !== null) return handler({ ...visit, signedIn: visit.signedIn });
    if (wantsJson(ctx)) return refuseWith(refusal('sign_in_required', 'You are not signed in, or not any more.'));
    const back = ownPath(ctx.originalUrl, visit.base);
    return goTo(back === null || back === '/' ? '/sign-in' : `/sign-in?return_to=${encodeURIComponent(back)}`);
  };
}

function confirmed(_ctx: Context, purpose: string, handler: Change<PersonalVisit>): Change<Visit> {
  return async (visit, form, json) => {
    const { signedIn } = visit;
    if (signedIn === null) {
      return refuseWith(refusal('sign_in_required', 'You are not signed in, or not any more.'), '/sign-in');
    }
    if (!isCsrfTokenValid(visit.store, signedIn, purposeFor(purpose, visit.params), form.get('csrf'))) {
      return refuseWith(refusal('cross_site_request', 'The form was not made for you in this session.'));
    }
    return handler({ ...visit, signedIn }, form, json);
  };
}

function administrator(handler: Show<PersonalVisit>): Show<PersonalVisit> {
  return async (visit) => {
    if (visit.signedIn.person.isAdministrator) return handler(visit);
    return refuseWith(refusal('not_allowed', 'Only administrators may open this page.'));
  };
}

/** Fills the parts of the path into a purpose: `decision:{id}`. */
function purposeFor(purpose: string, params: Readonly<Record<string, string>>): string {
  return purpose.replace(/\{(\w+)\}/g, (_, name: string) => params[name] ?? '');
}
