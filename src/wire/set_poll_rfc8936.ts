import { z } from 'zod';
import { IDENTIFIER_CHARACTERS_MAX, SETS_IN_POLL_MAX } from './limits.ts';

// RFC 8936 (November 2020) §2.2 and §2.5: what a receiver asks, acknowledges and reports in one POST.

const jti = z.string().min(1).max(IDENTIFIER_CHARACTERS_MAX);

/** Members we do not know are ignored (§2.2). */
export const pollRequestSchema = z.object({
  maxEvents: z.number().int().min(0).optional(),
  returnImmediately: z.boolean().default(false),
  ack: z.array(jti).max(SETS_IN_POLL_MAX).default([]),
  setErrs: z
    .record(jti, z.object({ err: z.string().max(IDENTIFIER_CHARACTERS_MAX), description: z.string().optional() }))
    .refine((errors) => Object.keys(errors).length <= SETS_IN_POLL_MAX, 'it reports on too many tokens')
    .default({}),
});
export type PollRequest = z.infer<typeof pollRequestSchema>;

/** §2.3: tokens by their `jti`, the oldest first. */
export interface PollAnswer {
  readonly sets: Readonly<Record<string, string>>;
  readonly moreAvailable: boolean;
}
