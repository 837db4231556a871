import { type AuthorizationDetail, errors, type KoaContextWithOIDC } from 'oidc-provider';
import { canonicalResource } from '../../agents/tool_servers.ts';
import { parseStrictJson } from '../../kernel/strict_json.ts';
import type { AskedResource, Delegated } from '../../tasks/delegate.ts';
import { type McpDelegationDetail, mcpDelegationDetail } from '../../wire/authorization_details.ts';
import { requestFacts } from '../request_facts.ts';

export const TOKEN_EXCHANGE_GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';

/** RFC 9396 for a token exchange: how narrow what is handed on shall be. Said once, and in no other request. */
export function rememberNarrowing(ctx: KoaContextWithOIDC, detail: AuthorizationDetail): void {
  const { params, route } = ctx.oidc;
  if (route !== 'token' || params?.grant_type !== TOKEN_EXCHANGE_GRANT) {
    throw new errors.InvalidAuthorizationDetails('mcp_delegation belongs into a token exchange (RFC 8693)');
  }
  const facts = requestFacts(ctx);
  if (facts.narrowing !== undefined) throw new errors.InvalidAuthorizationDetails('one mcp_delegation says it all');
  const raw = String(params.authorization_details);
  // The engine reads the last of two equal names, and lone surrogates; what is kept is what everybody reads alike.
  const strict = parseStrictJson(raw);
  if (!strict.ok) throw new errors.InvalidAuthorizationDetails(strict.refusal.message);
  const parsed = mcpDelegationDetail.safeParse(detail);
  if (!parsed.success || raw.includes('\\u0000')) {
    const issue = parsed.error?.issues[0];
    const place = issue === undefined || issue.path.length === 0 ? '' : ` at /${issue.path.map(String).join('/')}`;
    throw new errors.InvalidAuthorizationDetails(`mcp_delegation is refused${place}: ${issue?.message ?? 'U+0000'}`);
  }
  facts.narrowing = parsed.data;
}

/** What is asked for, the resource of the token first; undefined when one of the resources is none. */
export function askedResources(
  resource: string,
  narrowing: McpDelegationDetail | undefined,
): readonly AskedResource[] | undefined {
  const asked: AskedResource[] = [{ resource, tools: narrowing?.tools, constraints: narrowing?.constraints }];
  for (const { resource: onward, ...part } of narrowing?.onward ?? []) {
    const canonical = canonicalResource(onward);
    if (canonical === undefined) return undefined;
    asked.push({ ...part, resource: canonical });
  }
  return asked;
}

/** RFC 9396 §7.1: what was handed on, with what the request left open filled in. */
export function delegationDetail({ delegationId, handedOn }: Delegated, secondsLeft: number) {
  const [{ resource: _, ...first }, ...onward] = handedOn;
  return {
    type: 'mcp_delegation',
    delegation_id: delegationId,
    ...first,
    ...(onward.length === 0 ? {} : { onward }),
    seconds: secondsLeft,
  };
}
