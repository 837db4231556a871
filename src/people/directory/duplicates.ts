import { type Result, refused } from '../../kernel/result.ts';
import type { Refusal } from '../../wire/refusals.ts';

/** The indexes that keep names unique, as PostgreSQL names them (0003_governed_agents.ts). */
type UniqueIndex = 'people_by_user_name' | 'groups_by_name';

/** What `work` answers; `found` where another transaction took the name in the meantime, and nothing was written. */
export async function refusingDuplicates<Value>(
  index: UniqueIndex,
  found: Refusal,
  work: () => Promise<Result<Value, Refusal>>,
): Promise<Result<Value, Refusal>> {
  try {
    return await work();
  } catch (error) {
    const { code, constraint } = error as { code?: unknown; constraint?: unknown };
    if (code === '23505' && constraint === index) return refused(found);
    throw error;
  }
}
