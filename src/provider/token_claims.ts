import { type Configuration, errors } from 'oidc-provider';
import { taskDetail } from './grants/authorization_details.ts';
import { requestFacts } from './request_facts.ts';

/** Design §7: which task, who acts, and truthfully how and when the person signed in. */
export const extraTokenClaims: NonNullable<Configuration['extraTokenClaims']> = (ctx, token) => {
  const { task } = requestFacts(ctx);
  if (task === undefined) {
    // A person's token without a task must not exist; machines have tokens for our own APIs without one.
    if (token.kind === 'AccessToken') throw new errors.InvalidGrant('the token would have no task');
    return undefined;
  }
  const source = ctx.oidc.entities.AuthorizationCode ?? ctx.oidc.entities.RefreshToken;
  return {
    task: { id: task.id, root: task.rootId },
    act: { sub: task.agentId, client_id: task.clientId },
    ...(source?.authTime === undefined ? {} : { auth_time: source.authTime }),
    ...(source?.amr === undefined ? {} : { amr: source.amr }),
    ...(source?.acr === undefined ? {} : { acr: source.acr }),
  };
};

type Customizers = NonNullable<NonNullable<Configuration['formats']>['customizers']>;

/** What the engine sets itself and we know better: whose token it is, and the task as `authorization_details`. */
export const customizeAccessToken: NonNullable<Customizers['jwt']> = (ctx, _token, parts) => {
  const { task, subject } = requestFacts(ctx);
  const sub = task?.requesterId ?? subject;
  if (sub === undefined) throw new errors.InvalidGrant('the token would have no subject');
  parts.payload.sub = sub;
  if (task !== undefined) parts.payload.authorization_details = [taskDetail(task.id)];
};
