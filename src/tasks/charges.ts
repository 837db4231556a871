import { accepted, type Result, refused } from '../kernel/result.ts';
import { CALLS, type Charge, countedArgument } from '../model/budget.ts';
import type { Action } from '../wire/action_digest.ts';
import { isAmount, valueAt } from '../wire/constraints.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';

/**
 * What this call takes from the budgets of the task and of those above it, when it runs. An argument that is added up must
 * be there and be an amount: what cannot be counted does not run.
 */
export function chargesOf(
  budgeted: readonly string[],
  toolServerId: string,
  { method, name, arguments: args }: Pick<Action, 'method' | 'name' | 'arguments'>,
): Result<readonly Charge[], Refusal> {
  const charges: Charge[] = [];
  for (const what of budgeted) {
    if (what === CALLS) charges.push({ what, amount: '1' });
    const counted = countedArgument(what);
    const isCounted = method === 'tools/call' && counted?.toolServerId === toolServerId && counted.tool === name;
    if (!isCounted) continue;
    const value = valueAt(args, counted.argument);
    if (!isAmount(value)) {
      const expected = `The task has a budget over the argument ${counted.argument} of "${name}"`;
      return refused(
        refusal('request_invalid', `${expected}: it must be there, as a decimal such as "250.00", and not negative.`),
      );
    }
    charges.push({ what, amount: String(value) });
  }
  return accepted(charges);
}
