import { type Configuration, errors } from 'oidc-provider';
import { taskDetail } from './grants/authorization_details.ts';
import type { LiveTask } from './live_task.ts';
import { requestFacts } from './request_facts.ts';

/** Design §7: which task, who acts, and truthfully how and when the person signed in. */
export const extraTokenClaims: NonNullable<Configuration['extraTokenClaims']> = (ctx, token) => {
  const { task, authentication } = requestFacts(ctx);
  if (task === undefined) {
    // A person's token without a task must not exist; machines have tokens for our own APIs without one.
    if (token.kind === 'AccessToken') throw new errors.InvalidGrant('the token would have no task');
    return undefined;
  }
  const source = ctx.oidc.entities.AuthorizationCode ?? ctx.oidc.entities.RefreshToken;
  return {
    task: { id: task.id, root: task.rootId, ...(task.isRoot ? {} : { delegation: task.delegationId }) },
    act: actClaim(task.actors),
    ...defined({
      auth_time: source?.authTime ?? authentication?.auth_time,
      amr: source?.amr ?? authentication?.amr,
      acr: source?.acr ?? authentication?.acr,
    }),
  };
};

function defined(claims: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
}

/** RFC 8693 §4.1: outside, who acts now; inside, who handed it on. */
function actClaim(actors: LiveTask['actors']): object {
  return actors.reduce(
    (inner, { id, client_id }) => ({ sub: id, client_id, ...(inner === undefined ? {} : { act: inner }) }),
    undefined as object | undefined,
  )!;
}

type Customizers = NonNullable<NonNullable<Configuration['formats']>['customizers']>;

/** What the engine sets itself and we know better: whose token it is, and the task as `authorization_details`. */
export const customizeAccessToken: NonNullable<Customizers['jwt']> = (ctx, _token, parts) => {
  const { task, subject } = requestFacts(ctx);
  const sub = task?.requesterId ?? subject;
  if (sub === undefined) throw new errors.InvalidGrant('the token would have no subject');
  parts.payload.sub = sub;
  if (task === undefined) return;
  parts.payload.authorization_details = [taskDetail(task.id)];
  // An exchange may be asked for by the agent that hands the work on; the token is of the one that takes it.
  parts.payload.client_id = task.clientId;
};
