import { z } from 'zod';
import { isId } from '../kernel/ids.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { toolConstraints } from './constraints.ts';
import {
  AUTHORIZATION_DETAILS_MAX,
  DELEGATED_RESOURCES_MAX,
  DELEGATED_TOOLS_MAX,
  DELEGATION_SECONDS_MAX,
  URL_CHARACTERS_MAX,
} from './limits.ts';
import { type Refusal, refusal } from './refusals.ts';

/** Names the task a token is for (RFC 9396): an agent sends it with its request, the token carries it. */
export const mcpTaskDetail = z.strictObject({
  type: z.literal('mcp_task'),
  task_id: z.string().refine((value) => isId('tsk', value), 'not the id of a task'),
});

const resource = z.url().max(URL_CHARACTERS_MAX);

/** Of one tool server; what is left out is not narrowed. */
const delegatedPart = {
  tools: z.array(z.string().min(1).max(512)).min(1).max(DELEGATED_TOOLS_MAX).optional(),
  /** Beside those of the hops above. */
  constraints: toolConstraints.optional(),
};

/**
 * How a token exchange (RFC 8693) narrows what it hands on. Its `tools` and `constraints` are about the resource that the
 * token is asked for. Other tool servers are left out unless `onward` names them: whoever takes the work may go on there,
 * itself or by handing it on. `seconds` is how long the delegation lasts at most; it never outlasts what it descends from.
 */
export const mcpDelegationDetail = z.strictObject({
  type: z.literal('mcp_delegation'),
  ...delegatedPart,
  onward: z
    .array(z.strictObject({ resource, ...delegatedPart }))
    .max(DELEGATED_RESOURCES_MAX - 1)
    .optional(),
  seconds: z.number().int().min(1).max(DELEGATION_SECONDS_MAX).optional(),
});
export type McpDelegationDetail = z.infer<typeof mcpDelegationDetail>;

/** Names one call of one tool by the digest of its action. It describes; only a grant lets the call run. */
export const mcpToolCallDetail = z.strictObject({
  type: z.literal('mcp_tool_call'),
  resource,
  /** Or, for other methods, the name of the prompt or the address of the resource. */
  tool: z.string().min(1).max(URL_CHARACTERS_MAX),
  action_digest: z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'not a SHA-256 in base64url'),
});

export const authorizationDetail = z.discriminatedUnion('type', [mcpTaskDetail, mcpToolCallDetail]);
export type AuthorizationDetail = z.infer<typeof authorizationDetail>;

export const authorizationDetails = z.array(authorizationDetail).max(AUTHORIZATION_DETAILS_MAX);

/** Unknown types and unknown members are refused, as RFC 9396 §5 asks of a server. */
export function parseAuthorizationDetails(value: unknown): Result<AuthorizationDetail[], Refusal> {
  const parsed = authorizationDetails.safeParse(value);
  if (parsed.success) return accepted(parsed.data);
  const issue = parsed.error.issues[0];
  const place = issue === undefined || issue.path.length === 0 ? '' : `/${issue.path.map(String).join('/')}`;
  return refused(
    refusal('request_invalid', `authorization_details${place} is refused: ${issue?.message ?? 'not understood'}.`),
  );
}
