import { type CallWithApprovalOptions, callWithApproval, type ToolCaller } from './call_with_approval.ts';
import { type Outcome, outcomeOf, outcomeOfError } from './outcome.ts';

/**
 * Makes a tool call, follows it through whatever lane the guard offers, and says what became of it as a value.
 *
 * @throws what the client throws that is no refusal of ours, and the signal's reason when it is aborted
 *
 * @example
 * ```ts
 * const outcome = await callTool(client, { name: 'refund', arguments: { order: '1182', amount: '240.00' } }, {
 *   onWaiting: ({ approvalUrl }) => console.log(`Waiting for approval: ${approvalUrl}`),
 * });
 * switch (outcome.kind) {
 *   case 'done':
 *     console.log(outcome.result.content);
 *     break;
 *   case 'denied':
 *     console.log(`Refused: ${outcome.reason ?? outcome.message}`);
 *     break;
 *   case 'unavailable':
 *     console.log(`Later: ${outcome.message}`);
 *     break;
 *   default:
 *     console.log(outcome.kind);
 * }
 * ```
 */
export async function callTool<Result>(
  client: ToolCaller<Result>,
  params: { readonly name: string; readonly arguments?: Record<string, unknown> },
  options: CallWithApprovalOptions = {},
): Promise<Outcome<Result>> {
  try {
    return outcomeOf(await callWithApproval(client, params, options));
  } catch (error) {
    options.signal?.throwIfAborted();
    return outcomeOfError(error);
  }
}
