export const CALLS = 'calls';
export const STEP_UPS = 'step_ups';
export const ELEVATED_GRANTS = 'elevated_grants';

/** One thing a task may use up, and how much of it; amounts are decimals. */
export interface BudgetLine {
  readonly what: string;
  readonly maximum: string;
}

/** What one step takes from every budget above it that counts such a thing. */
export interface Charge {
  readonly what: string;
  readonly amount: string;
}

/** An argument of a tool whose values a budget adds up. */
export interface CountedArgument {
  readonly toolServerId: string;
  readonly tool: string;
  /** RFC 6901. */
  readonly argument: string;
}

/** How the budget over an argument is named in records. Percent-encoding keeps names with spaces apart from pointers. */
export function amountOf({ toolServerId, tool, argument }: CountedArgument): string {
  return `amount ${toolServerId} ${encodeURIComponent(tool)} ${argument}`;
}

export function countedArgument(what: string): CountedArgument | undefined {
  const [, toolServerId, tool, argument] = /^amount (\S+) (\S+) (\/.*)$/s.exec(what) ?? [];
  if (toolServerId === undefined || tool === undefined || argument === undefined) return undefined;
  return { toolServerId, tool: decodeURIComponent(tool), argument };
}

/** For a sentence such as "The budget over … is used up". */
export function budgetInWords(what: string): string {
  const counted = countedArgument(what);
  if (counted !== undefined) return `the argument ${counted.argument} of "${counted.tool}"`;
  if (what === STEP_UPS) return 'requests for approval';
  return what === ELEVATED_GRANTS ? 'approved calls' : 'calls';
}
