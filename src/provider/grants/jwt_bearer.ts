import { errors, type KoaContextWithOIDC, type Provider, type TokenEndpointGrantContext } from 'oidc-provider';
import {
  applyAuthorizationDetails,
  buildTokenResponse,
  checkDpopReplay,
  checkDpopRequired,
  resolveRequestedResources,
  validateDpop,
} from 'oidc-provider/lib/helpers/grants.js';
import { canonicalResource } from '../../agents/tool_servers.ts';
import { JWT_BEARER_GRANT } from '../../wire/identity_assertion_id_jag_04.ts';
import { IDENTIFIER_CHARACTERS_MAX } from '../../wire/limits.ts';
import { BASE_SCOPE } from '../../wire/scopes.ts';
import { assertBoundToken } from '../dpop_required.ts';
import {
  type AssertionProblem,
  type AssertionReader,
  findAssertedPerson,
  findAssertingAgent,
  type VerifiedAssertion,
  verifyIdentityAssertion,
} from '../identity_assertion.ts';
import { findLiveTaskById, type LiveTask } from '../live_task.ts';
import { countRefusal, mustWait, recordRefusedAssertion } from '../refused_assertion.ts';
import { requestFacts } from '../request_facts.ts';
import { markUsed } from '../single_use.ts';
import { activeToolServer } from '../tool_server_target.ts';
import { startAssertedTask } from './asserted_task.ts';
import { defaultTask } from './default_task.ts';

interface Parameters {
  readonly assertion?: string;
  readonly resource?: string;
  readonly scope?: string;
}

type Ctx = TokenEndpointGrantContext<Parameters>;

const PURPOSE = 'Access that the organisation gave through its identity provider.';

/**
 * Identity assertion grants (draft-ietf-oauth-identity-assertion-authz-grant-04 §4.4; MCP Enterprise-Managed Authorization): an
 * identity provider says that this client acts for this person at this resource, and so begins a task for them. Everything
 * else holds as for any task: the agent's bound, policy, step-up. There is no refresh token (§4.4.3).
 */
export function acceptIdentityAssertions(provider: Provider, reader: AssertionReader): void {
  if (reader.issuers.length === 0) return;
  provider.registerGrantType<Parameters>(JWT_BEARER_GRANT, (ctx) => issueByAssertion(provider, reader, ctx), [
    'assertion',
    'resource',
    'scope',
    'authorization_details',
  ]);
}

async function issueByAssertion(provider: Provider, reader: AssertionReader, ctx: Ctx): Promise<void> {
  const { store } = reader;
  const { client, params } = ctx.oidc;
  // §9.1: whoever intercepts an assertion could call itself by a public client's name.
  if (client.tokenEndpointAuthMethod === 'none') {
    throw new errors.UnauthorizedClient('an identity assertion needs a client that proves who it is');
  }
  if (typeof params.assertion !== 'string') throw new errors.InvalidRequest('assertion is missing');
  if (await mustWait(store, ctx)) return;
  const proof = await validateDpop(provider, ctx);
  const assertion = await verified(reader, ctx, params.assertion);
  const resource = askedResource(ctx, assertion);
  const refuse = (problem: AssertionProblem) => refuseAssertion(reader, ctx, assertion, problem);
  if (resource === undefined) {
    throw await refuse({ code: 'resource', message: 'it is for another resource than the one that was asked for' });
  }
  if (assertion.jkt !== undefined && assertion.jkt !== proof?.thumbprint) {
    throw await refuse({ code: 'no_proof', message: 'it is bound to a key: send a DPoP proof of that key' });
  }
  assertScopes(ctx, assertion);
  const toolServer = await activeToolServer(store, ctx, resource);
  const person = await findAssertedPerson(store, assertion);
  if (!person.ok) throw await refuse(person.refusal);
  const agentId = await findAssertingAgent(store, client, person.value);
  const { issuer, jti, issuedAt, expiresAt } = assertion;
  const use = { issuer, token: params.assertion, jti, issuedAt, expiresAt, holder: undefined };
  const used = await markUsed(store.ephemeral, use, new Date());
  if (used !== 'first') {
    const message = used === 'again' ? 'it was used before' : 'it is older than the memory of used ones';
    throw await refuse({ code: used === 'again' ? 'replayed' : used, message: `${message}: get a new one` });
  }
  const of = { agentId, clientId: client.clientId, requesterId: person.value, toolServer };
  const { taskStart } = requestFacts(ctx);
  const task =
    taskStart === undefined
      ? await defaultTask(store, { ...of, origin: 'identity_assertion', purpose: PURPOSE })
      : await startAssertedTask(store, { ...of, asked: taskStart });
  if (!task.ok) throw await refuse({ code: task.refusal.code, message: task.refusal.message });
  const live = await findLiveTaskById(store, task.value, resource);
  if (!live.ok) throw await refuse({ code: live.refusal.code, message: live.refusal.message });
  requestFacts(ctx).task = live.value;
  await assertBoundToken(store, ctx, live.value, toolServer);
  await issue(provider, ctx, live.value, resource, proof);
}

async function verified(reader: AssertionReader, ctx: Ctx, assertion: string): Promise<VerifiedAssertion> {
  const read = await verifyIdentityAssertion(reader, assertion, new Date());
  if (!read.ok) throw await refuseAssertion(reader, ctx, undefined, read.refusal);
  // §4.4.1: else it would be good for whoever gets hold of it.
  if (read.value.clientId === ctx.oidc.client.clientId) return read.value;
  throw await refuseAssertion(reader, ctx, read.value, {
    code: 'client',
    message: 'its client_id names another client than the one that sent it',
  });
}

/** The resource of the token, which the assertion must name; undefined if it does not. One is chosen by the request. */
function askedResource(ctx: Ctx, { resources }: VerifiedAssertion): string | undefined {
  const named = resources.map(canonicalResource);
  const { params } = ctx.oidc;
  const asked =
    params.resource === undefined && named.length === 1 ? named[0] : canonicalResource(params.resource ?? '');
  if (asked === undefined || !named.includes(asked)) return undefined;
  Object.assign(params, { resource: asked });
  return asked;
}

/** What was granted is in all of them: the request, the assertion, and what tokens for tool servers can have. */
function assertScopes(ctx: Ctx, { scopes }: VerifiedAssertion): void {
  const { params } = ctx.oidc;
  const asked = params.scope?.split(' ') ?? [BASE_SCOPE];
  const isWithin = asked.includes(BASE_SCOPE) && (scopes?.includes(BASE_SCOPE) ?? true);
  if (!isWithin) {
    throw new errors.InvalidScope(`the scope of a tool server is ${BASE_SCOPE}`, params.scope ?? BASE_SCOPE);
  }
  Object.assign(params, { scope: BASE_SCOPE });
}

async function issue(
  provider: Provider,
  ctx: Ctx,
  task: LiveTask,
  resource: string,
  proof: Awaited<ReturnType<typeof validateDpop>>,
): Promise<void> {
  const { client } = ctx.oidc;
  if (task.scopes?.includes(BASE_SCOPE) === false) {
    throw new errors.InvalidScope('this agent may not have the scope of tool servers', BASE_SCOPE);
  }
  const [resourceServer] = await resolveRequestedResources(provider, ctx);
  if (resourceServer === undefined) throw new errors.InvalidTarget(`no tool server is registered for ${resource}`);
  checkDpopRequired(provider, ctx, proof);
  const token = new provider.AccessToken({
    accountId: task.requesterId,
    client,
    gty: 'jwt_bearer',
    scope: BASE_SCOPE,
  } as ConstructorParameters<typeof provider.AccessToken>[0]);
  token.resourceServer = resourceServer;
  if (proof !== undefined) {
    await checkDpopReplay(provider, ctx, proof, client.clientId);
    token.setThumbprint('jkt', proof.thumbprint);
  }
  await applyAuthorizationDetails(provider, ctx, token);
  ctx.oidc.entity('AccessToken', token);
  const accessToken = await token.save();
  ctx.body = buildTokenResponse(provider, {
    accessToken,
    authorizationDetails: token.rar,
    tokenType: token.tokenType,
    expiresIn: token.expiration,
    scope: token.scope,
  });
}

/** Records why, and makes the one OAuth error there is for a grant that is not accepted (RFC 6749 §5.2). */
async function refuseAssertion(
  { store }: AssertionReader,
  ctx: KoaContextWithOIDC,
  assertion: VerifiedAssertion | undefined,
  { code, message }: AssertionProblem,
): Promise<errors.InvalidGrant> {
  await countRefusal(store, ctx.ip);
  const { clientId } = ctx.oidc.client ?? {};
  await recordRefusedAssertion(store, {
    what: 'identity_assertion',
    code,
    issuer: assertion?.issuer ?? null,
    client: clientId ?? null,
    subject: assertion?.subject.slice(0, IDENTIFIER_CHARACTERS_MAX) ?? null,
    message,
  });
  const description = `the assertion is refused: ${message}`;
  return Object.assign(new errors.InvalidGrant(description), { error_description: description });
}
