import type { Context } from 'koa';
import type { Configuration } from 'oidc-provider';
import { type Refusal, refusal } from '../wire/refusals.ts';
import type { InteractionPages } from './interactions/pages.ts';
import { requestFacts } from './request_facts.ts';

// Where a person looks at the answer; everywhere else a program does and gets JSON, whatever it says it accepts.
const PAGE_ROUTES = new Set(['authorization', 'resume', 'end_session_confirm']);

export type ErrorPages = Pick<InteractionPages, 'error' | 'setHeaders'>;

const START_AGAIN = 'Go back to the program that sent you here and start again.';

/** Errors that must not be sent to a redirect address, because that address is not (yet) trusted (RFC 9700 §4.11). */
export function createErrorRenderer(pages: ErrorPages): NonNullable<Configuration['renderError']> {
  return (ctx, out, error) => {
    requestFacts(ctx).error = error;
    if (!PAGE_ROUTES.has(ctx.oidc.route)) {
      ctx.type = 'json';
      ctx.body = out;
      return;
    }
    pages.setHeaders(ctx as unknown as Context, []);
    ctx.type = 'html';
    ctx.body = pages.error(pageRefusal(out.error, out.error_description ?? ''));
  };
}

/** The same error for the person who looks at it. */
export function pageRefusal(error: string, description: string): Refusal {
  const detail = { error, error_description: description };
  switch (error) {
    case 'invalid_client':
      return refusal(
        'request_invalid',
        'The program that sent you here is not known to this server. Tell whoever runs it.',
        detail,
      );
    case 'invalid_redirect_uri':
      return refusal(
        'request_invalid',
        'The program that sent you here wants to be answered at an address it did not register. Nothing was sent there.',
        detail,
      );
    case 'server_error':
      return refusal('unavailable', 'Something failed here, not on your side.', detail);
    default:
      return refusal(
        'request_invalid',
        `${description === '' ? 'The request is not valid' : capitalized(description)}. ${START_AGAIN}`,
        detail,
      );
  }
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
