/**
 * The Countersign server refused, or could not be reached. `code` is a literal of the server's list of refusals
 * (`task_ended`, `agent_inactive`, …), an OAuth error code, or `unavailable`; `next` says what to do.
 */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly code: string;
  readonly next: string | undefined;

  constructor(code: string, message: string, options: { next?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.next = options.next;
  }
}
