import type { Context } from 'koa';
import type { JsonObject } from '../kernel/json.ts';
import { REFUSALS, type Refusal, refusalBody } from '../wire/refusals.ts';
import { withBase } from './base_path.ts';
import { type Frame, type Page, renderPage } from './frame.ts';
import { setPageHeaders } from './headers.ts';
import { errorPage } from './pages/error_page.ts';

/** Set-Cookie headers. */
type Cookies = string | readonly string[];

/** What a handler wants to be sent. */
export type Answer =
  | { readonly kind: 'page'; readonly page: Page; readonly status?: number; readonly cookie?: Cookies }
  | { readonly kind: 'redirect'; readonly to: string; readonly cookie?: Cookies }
  | { readonly kind: 'leave'; readonly to: URL; readonly cookie: Cookies }
  | { readonly kind: 'json'; readonly body: JsonObject; readonly cookie?: Cookies }
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly back?: string };

export function showPage(page: Page): Answer {
  return { kind: 'page', page };
}

/** 303: whatever was posted is not posted again. */
export function goTo(to: string, cookie?: Cookies): Answer {
  return cookie === undefined ? { kind: 'redirect', to } : { kind: 'redirect', to, cookie };
}

/** To an address that is none of ours. */
export function leaveFor(to: URL, cookie: Cookies): Answer {
  return { kind: 'leave', to, cookie };
}

export function refuseWith(refusal: Refusal, back?: string): Answer {
  return back === undefined ? { kind: 'refused', refusal } : { kind: 'refused', refusal, back };
}

/** Writes an answer; refusals become a page, or JSON for our own scripts. */
export function send(ctx: Context, answer: Answer, frame: Frame, wantsJson: boolean): void {
  setPageHeaders(ctx);
  if ('cookie' in answer && answer.cookie !== undefined) {
    for (const cookie of [answer.cookie].flat()) ctx.append('Set-Cookie', cookie);
  }
  switch (answer.kind) {
    case 'page':
      ctx.status = answer.status ?? 200;
      ctx.type = 'html';
      ctx.body = renderPage(frame, answer.page);
      return;
    case 'redirect':
      ctx.status = 303;
      ctx.set('Location', withBase(frame.base, answer.to));
      ctx.body = '';
      return;
    case 'leave':
      ctx.status = 303;
      ctx.set('Location', answer.to.href);
      ctx.body = '';
      return;
    case 'json':
      ctx.body = answer.body;
      return;
    case 'refused': {
      const { refusal, back } = answer;
      ctx.status = REFUSALS[refusal.code].status;
      if (wantsJson) {
        ctx.body = refusalBody(refusal);
        return;
      }
      ctx.type = 'html';
      ctx.body = renderPage(frame, errorPage(back === undefined ? { refusal } : { refusal, back }));
    }
  }
}
