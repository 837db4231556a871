import { sql } from 'kysely';
import { ISSUED_TOLERANCE_SECONDS } from './limits.ts';

/**
 * Whether a token was issued before a moment, or may have been: `iat` is in whole seconds, by the clock of the process that
 * issued it. Guards reckon in the same way (`held_lease.ts`). Null where there was no such moment: not true.
 */
export function isOfBefore(moment: ReturnType<typeof sql>, { iat }: { readonly iat?: number | undefined }) {
  return sql<boolean>`${moment} + make_interval(secs => ${ISSUED_TOLERANCE_SECONDS}) >= to_timestamp(${iat ?? 0}::float8)`;
}
