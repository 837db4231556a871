/** The one scope that every token for a tool server carries; what it may really do is its task. */
export const BASE_SCOPE = 'mcp:tools';

const STEP_UP_PREFIX = 'step_up:';

/** The scope value that carries the browser trip of one step-up (design §5). It gives nothing by itself. */
export function stepUpScope(stepUpId: string): string {
  return `${STEP_UP_PREFIX}${stepUpId}`;
}

/** The step-up ids named in a scope string, in order. */
export function stepUpIds(scope: string): string[] {
  return scope
    .split(' ')
    .filter((value) => value.startsWith(STEP_UP_PREFIX))
    .map((value) => value.slice(STEP_UP_PREFIX.length));
}
