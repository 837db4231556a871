import { type AuthorizationDetail, errors, type KoaContextWithOIDC } from 'oidc-provider';
import { parseStrictJson } from '../../kernel/strict_json.ts';
import { mcpTaskDetail } from '../../wire/authorization_details.ts';
import { type McpTaskStart, mcpTaskStart } from '../../wire/task_request.ts';

/** An `mcp_task` names a task that runs, or says what a new one is to be (RFC 9396). */
export type TaskDetail =
  | { readonly kind: 'named'; readonly taskId: string }
  | { readonly kind: 'new'; readonly start: McpTaskStart };

export function readTaskDetail(ctx: KoaContextWithOIDC, detail: AuthorizationDetail): TaskDetail {
  const raw = String(ctx.oidc.params?.authorization_details);
  // The engine reads the last of two equal names, and lone surrogates; what is kept is what everybody reads alike.
  const strict = parseStrictJson(raw);
  if (!strict.ok) throw new errors.InvalidAuthorizationDetails(strict.refusal.message);
  if (raw.includes('\\u0000')) throw new errors.InvalidAuthorizationDetails('a text holds the character U+0000');
  if (Object.hasOwn(detail, 'task_id')) {
    const named = mcpTaskDetail.safeParse(detail);
    if (named.success) return { kind: 'named', taskId: named.data.task_id };
    throw new errors.InvalidAuthorizationDetails('mcp_task that names a task has exactly one member more: task_id');
  }
  const asked = mcpTaskStart.safeParse(detail);
  if (asked.success) return { kind: 'new', start: asked.data };
  const issue = asked.error.issues[0];
  const place = issue === undefined || issue.path.length === 0 ? '' : ` at /${issue.path.map(String).join('/')}`;
  throw new errors.InvalidAuthorizationDetails(`mcp_task is refused${place}: ${issue?.message ?? 'not understood'}`);
}

/**
 * What a client may suggest to a person: tools by name, of the one resource it asks for. Which task it will be is the person's
 * choice, so none is named, and a template was approved for agents that work without one.
 */
export function suggestion(read: TaskDetail): McpTaskStart {
  if (read.kind === 'named') {
    throw new errors.InvalidAuthorizationDetails(
      'a task is chosen at consent: say what it is to be, without a task_id',
    );
  }
  const { template, tools, budget } = read.start;
  if (template !== undefined) throw new errors.InvalidAuthorizationDetails('templates are for service agents');
  const isForOne =
    (tools ?? []).every((tool) => typeof tool === 'string') &&
    (budget?.amounts ?? []).every((amount) => amount.resource === undefined);
  if (!isForOne) {
    throw new errors.InvalidAuthorizationDetails('the tools are those of the resource: name them without another one');
  }
  return read.start;
}
