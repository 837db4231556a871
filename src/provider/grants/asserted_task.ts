import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { Store } from '../../store/store.ts';
import { resolveAsked } from '../../tasks/asked.ts';
import { startTask } from '../../tasks/start.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import type { McpTaskStart } from '../../wire/task_request.ts';
import type { KnownToolServer } from '../live_task.ts';

interface AssertedTask {
  readonly agentId: string;
  readonly clientId: string;
  /** Whom the identity provider says the client acts for. */
  readonly requesterId: string;
  /** The one that the assertion is for. */
  readonly toolServer: KnownToolServer;
  readonly asked: McpTaskStart;
}

/**
 * The task that a client asks for with an identity assertion (RFC 9396): with tools of the tool server that was asserted and
 * no other. Nobody is asked here, so a kind of work, which policy relies on, is nothing that it could choose.
 */
export async function startAssertedTask(
  store: Store,
  { asked, toolServer, ...of }: AssertedTask,
): Promise<Result<string, Refusal>> {
  const { tools, purpose, purpose_code: purposeCode, template, seconds, budget } = asked;
  if (purposeCode !== undefined || template !== undefined) {
    const words = 'with an identity assertion a task has neither a purpose_code nor a template';
    return refused(refusal('request_invalid', words));
  }
  if (tools === undefined || purpose === undefined) {
    return refused(refusal('request_invalid', 'a task needs "tools" and a "purpose"'));
  }
  const resolved = await resolveAsked(store, { tools, budget, resource: toolServer.resource });
  if (!resolved.ok) return resolved;
  if (Object.keys(resolved.value.tools).some((id) => id !== toolServer.id)) {
    return refused(refusal('not_allowed', 'the assertion is for one tool server, and so is its task'));
  }
  const started = await startTask(store, {
    ...of,
    ...resolved.value,
    purpose,
    purposeCode: '',
    seconds: seconds ?? store.rules.taskSecondsDefault,
    oauthGrantId: null,
    origin: 'identity_assertion',
  });
  return started.ok ? accepted(started.value.taskId) : started;
}
