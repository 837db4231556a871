import type { Context } from 'koa';
import { errors, type Provider } from 'oidc-provider';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { parseStrictJson } from '../../kernel/strict_json.ts';
import type { SignedIn } from '../../model/person.ts';
import { findSession } from '../../people/session.ts';
import { readSessionCookie } from '../../people/session_cookie.ts';
import type { Store } from '../../store/store.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { type McpTaskStart, mcpTaskStart } from '../../wire/task_request.ts';

type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>;

/** One browser's trip from a client through our pages and back, bound to that browser by the engine's cookies. */
export interface Trip {
  readonly uid: string;
  readonly interaction: Interaction;
  readonly clientId: string;
  readonly clientName: string;
  readonly redirectUri: string;
  readonly scope: string;
  readonly resource: string;
  readonly codeChallenge: string;
  /** What the client says of the task it wants; null if it says nothing. */
  readonly asked: McpTaskStart | null;
  /** Seconds since 1970. */
  readonly startedAt: number;
}

/** The trip of this browser; refused when it ended, expired, or began in another browser (attack T10). */
export async function findTrip(
  provider: Provider,
  ctx: Context & { params: { uid?: string } },
): Promise<Result<Trip, Refusal>> {
  const lost = refused(
    refusal(
      'not_found',
      'This page belongs to a request that has ended or began in another browser. Start again in the program.',
    ),
  );
  let interaction: Interaction;
  try {
    interaction = await provider.interactionDetails(ctx.req, ctx.res);
  } catch (error) {
    if (error instanceof errors.SessionNotFound) return lost;
    throw error;
  }
  if (interaction.uid !== ctx.params.uid) return lost;
  const params = interaction.params as Readonly<Record<string, string | undefined>>;
  const client = await provider.Client.find(params.client_id ?? '');
  const { redirect_uri, resource, code_challenge } = params;
  if (client === undefined || redirect_uri === undefined || resource === undefined || code_challenge === undefined)
    return lost;
  return accepted({
    uid: interaction.uid,
    interaction,
    clientId: client.clientId,
    clientName: client.clientName ?? client.clientId,
    redirectUri: redirect_uri,
    scope: params.scope ?? '',
    resource,
    codeChallenge: code_challenge,
    asked: askedTask(params.authorization_details),
    startedAt: interaction.iat,
  });
}

/** What the engine kept was looked at when the request came. */
function askedTask(details: string | undefined): McpTaskStart | null {
  if (details === undefined) return null;
  const parsed = parseStrictJson(details);
  const [first] = parsed.ok && Array.isArray(parsed.value) ? parsed.value : [];
  return mcpTaskStart.safeParse(first).data ?? null;
}

export function signedInPerson(store: Store, ctx: Context): Promise<SignedIn | null> {
  return findSession(store, readSessionCookie(ctx.get('cookie')));
}

/** Ends our part: the browser goes on to the engine, which answers the client. */
export async function finishTrip(
  provider: Provider,
  ctx: Context,
  result: Parameters<Provider['interactionResult']>[2],
): Promise<void> {
  // 303, so that no browser posts the form again to where it is sent (RFC 9700 §4.12).
  const location = await provider.interactionResult(ctx.req, ctx.res, result);
  ctx.status = 303;
  ctx.redirect(location);
  ctx.status = 303;
}
