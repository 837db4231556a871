import type { JsonObject } from '../kernel/json.ts';

/**
 * Every expected refusal, once: its HTTP status and what the reader should do next. A lane or an endpoint turns a code
 * into its own wire form from this table; nothing else decides a status.
 */
export const REFUSALS = {
  // Who is calling
  token_missing: { status: 401, next: 'Send an access token of this issuer in the Authorization header.' },
  token_invalid: { status: 401, next: 'Obtain a new access token from the issuer and call again.' },
  token_expired: { status: 401, next: 'Refresh the access token and call again.' },
  token_wrong_audience: { status: 401, next: 'Request a token whose `resource` is this tool server.' },
  dpop_proof_invalid: { status: 401, next: 'Send a fresh DPoP proof made with the key the token is bound to.' },
  dpop_nonce_required: { status: 401, next: 'Make the proof again, with the nonce of the DPoP-Nonce header.' },
  dpop_required: { status: 403, next: 'Obtain a token bound to a key of yours (DPoP, RFC 9449), and call with it.' },
  guard_not_allowed: { status: 403, next: 'Use the credentials of the guard registered for this tool server.' },
  sign_in_refused: { status: 403, next: 'Start again from the sign-in page of this server.' },
  sign_in_required: { status: 401, next: 'Sign in and open the page again.' },
  passkey_required: { status: 403, next: 'Confirm with your passkey: this decision needs proof that it is you.' },
  not_allowed: { status: 403, next: 'Ask an administrator for the right to do this.' },
  cross_site_request: { status: 403, next: 'Open the page itself and submit the form there.' },
  // What was sent
  request_invalid: { status: 400, next: 'Correct the request as described and send it again.' },
  json_invalid: { status: 400, next: 'Send JSON without duplicate names, unsafe numbers or lone surrogates.' },
  body_too_large: { status: 413, next: 'Send less data.' },
  arguments_too_large: {
    status: 413,
    next: 'Nobody can review more than 64 KiB of arguments: send less, or pass a reference to the content.',
  },
  arguments_undeclared: { status: 400, next: 'Send only the arguments that the schema of the tool declares.' },
  host_unknown: { status: 421, next: 'Use the address the server was configured with.' },
  not_found: { status: 404, next: 'Check the address or the id.' },
  conflict: { status: 409, next: 'Reload to see the current state.' },
  idempotency_key_reused: { status: 422, next: 'Send a new Idempotency-Key with a request that differs.' },
  rate_limited: { status: 429, next: 'Wait before trying again.' },
  // What the agent may do
  method_not_allowed: { status: 403, next: 'This MCP method is not open to agents here.' },
  policy_denied: { status: 403, next: 'Do not retry: no approval can lift this. Choose another way.' },
  policy_unavailable: {
    status: 503,
    next: 'Try again later: no call is allowed while the policy cannot be evaluated.',
  },
  tool_unknown: { status: 403, next: 'Use a tool that the tool list shows.' },
  tool_changed: {
    status: 403,
    next: 'The tool changed since its owner accepted it. Its owner must accept the change.',
  },
  tool_not_in_task: { status: 403, next: 'Start a task that includes this tool.' },
  outside_delegation: { status: 403, next: 'Do it within what was handed to you, or ask whoever handed it for more.' },
  budget_used_up: { status: 403, next: 'The task has used up what it was given. Start a new one, or ask for more.' },
  delegation_refused: { status: 403, next: 'Do not retry: this work may not be handed on in this way.' },
  peer_unknown: {
    status: 403,
    next: 'Ask those who answer for both agents to make them peers of each other.',
  },
  tool_server_inactive: { status: 403, next: 'An administrator must accept this tool server first.' },
  task_ended: { status: 401, next: 'The task has ended. Start a new one.' },
  task_invalid: { status: 400, next: 'Name an active task of the same agent and tool server.' },
  agent_inactive: { status: 403, next: 'The agent is not active. Ask its owner.' },
  person_inactive: { status: 403, next: 'The person this agent acts for is not active.' },
  no_eligible_approver: {
    status: 403,
    next: 'Nobody may approve this call. The owner of the policy must name approvers.',
  },
  too_many_step_ups: { status: 429, next: 'Wait until earlier requests for approval are decided.' },
  denied_recently: { status: 403, next: 'A person refused this call. Change your plan instead of asking again.' },
  // The life of a step-up
  step_up_required: { status: 403, next: 'A person must approve this call. Make the same call again after that.' },
  step_up_denied: { status: 403, next: 'A person refused this call. Change your plan instead of asking again.' },
  step_up_expired: { status: 403, next: 'Nobody decided in time, which counts as a denial.' },
  step_up_withdrawn: { status: 403, next: 'The request for approval was withdrawn.' },
  already_decided: { status: 409, next: 'Nothing was changed. Reload to see who decided.' },
  page_outdated: { status: 409, next: 'Nothing was changed. Read the current page and decide again.' },
  decided_too_fast: { status: 409, next: 'Nothing was changed. Read what would run, then decide.' },
  not_an_approver: { status: 403, next: 'Nothing was changed. You are not among those who may decide this.' },
  challenge_invalid: { status: 400, next: 'Sign the challenge with the registered key of this guard.' },
  // The grant
  grant_missing: { status: 403, next: 'There is no live grant for exactly this call. Make the call to ask for one.' },
  grant_used: { status: 403, next: 'The grant was used. Make the call to ask for a new one.' },
  grant_expired: { status: 403, next: 'The grant expired before it was used. Make the call to ask for a new one.' },
  outcome_unknown: { status: 409, next: 'The call started and its outcome is not known. Check before you try again.' },
  // Us
  clock_differs: {
    status: 503,
    next: 'Nothing was changed. The operator of this tool server must correct its clock; then the call works again.',
  },
  unavailable: {
    status: 503,
    next: 'Try again in a moment. Should it have been done already, the answer will be the same.',
  },
} as const satisfies Record<string, { readonly status: number; readonly next: string }>;

export type RefusalCode = keyof typeof REFUSALS;

/** A refusal on its way to a caller. `message` and `detail` are safe to show; they hold no secret and no other person's data. */
export interface Refusal {
  readonly code: RefusalCode;
  readonly message: string;
  readonly detail?: JsonObject;
}

export function refusal(code: RefusalCode, message: string, detail?: JsonObject): Refusal {
  return detail === undefined ? { code, message } : { code, message, detail };
}

/** The body of every refusal over plain HTTP: `error`, `error_description`, `next`, and `detail` where there is one. */
export function refusalBody(refused: Refusal): JsonObject {
  return {
    error: refused.code,
    error_description: refused.message,
    next: REFUSALS[refused.code].next,
    ...(refused.detail === undefined ? {} : { detail: refused.detail }),
  };
}
