import { compareDecimals, isDecimal } from '../../kernel/decimal.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { type BudgetLine, budgetInWords, countedArgument } from '../../model/budget.ts';
import type { ConsentView } from '../../model/consent_view.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { CONSENT_PURPOSE_CHARACTERS_MAX } from '../limits.ts';

const TOOL_FIELD = 'tool:';
/** And then the field of what is limited. */
const BUDGET_FIELD = 'budget:';

/** What a person allowed: never more than the page offered. */
export interface Consent {
  readonly purpose: string;
  readonly purposeCode: string;
  readonly seconds: number;
  readonly tools: readonly string[];
  readonly budget: readonly BudgetLine[];
}

/** Reads the consent form against the page it came from; nothing that the page did not offer can be chosen. */
export function readConsentForm(
  fields: ReadonlyMap<string, string>,
  view: Pick<ConsentView, 'tools' | 'purposeCodes' | 'durations' | 'budget'>,
): Result<Consent, Refusal> {
  const purpose = (fields.get('purpose') ?? '').trim();
  if (purpose === '' || purpose.length > CONSENT_PURPOSE_CHARACTERS_MAX) {
    return refused(
      refusal('request_invalid', `Say what it is for, in 1 to ${CONSENT_PURPOSE_CHARACTERS_MAX} characters.`),
    );
  }
  const purposeCode = fields.get('purpose_code') ?? '';
  if (!view.purposeCodes.some(({ code }) => code === purposeCode)) {
    return refused(refusal('request_invalid', 'Choose one of the kinds of work on the page.'));
  }
  const seconds = Number(fields.get('seconds'));
  if (!view.durations.includes(seconds)) {
    return refused(refusal('request_invalid', 'Choose one of the durations on the page.'));
  }
  const offered = new Set(view.tools.map((tool) => tool.name));
  const tools = [...fields.keys()]
    .filter((name) => name.startsWith(TOOL_FIELD))
    .map((name) => name.slice(TOOL_FIELD.length));
  const unknown = tools.find((name) => !offered.has(name));
  if (unknown !== undefined) {
    return refused(
      refusal('page_outdated', `The tool "${unknown.slice(0, 100)}" is not offered any more. Reload the page.`),
    );
  }
  if (tools.length === 0) return refused(refusal('request_invalid', 'Choose at least one tool, or refuse.'));
  const budget = readBudget(fields, view, tools);
  return budget.ok ? accepted({ purpose, purposeCode, seconds, tools, budget: budget.value }) : budget;
}

/** What is left empty is not limited; what is not in the form at all is as it was suggested. An amount of a tool that was not chosen limits nothing, and is left out. */
function readBudget(
  fields: ReadonlyMap<string, string>,
  { budget }: Pick<ConsentView, 'budget'>,
  tools: readonly string[],
): Result<readonly BudgetLine[], Refusal> {
  const lines: BudgetLine[] = [];
  for (const { what, field, suggested } of budget) {
    const maximum = (fields.get(`${BUDGET_FIELD}${field}`) ?? suggested ?? '').trim();
    const counted = countedArgument(what);
    if (maximum === '' || (counted !== undefined && !tools.includes(counted.tool))) continue;
    const isUsable =
      counted === undefined
        ? /^(0|[1-9]\d{0,8})$/.test(maximum)
        : isDecimal(maximum) && compareDecimals(maximum, '0') >= 0;
    if (!isUsable) {
      const kind = counted === undefined ? 'a whole number' : 'a decimal such as 250.00';
      return refused(refusal('request_invalid', `The limit on ${budgetInWords(what)} must be ${kind}, or empty.`));
    }
    lines.push({ what, maximum });
  }
  return accepted(lines);
}
