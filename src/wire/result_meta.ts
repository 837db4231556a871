import { z } from 'zod';

/** Keys of a result's `_meta` that the guard sets. Nothing else may: the guard removes what a tool puts there. */
export const META_PREFIX = 'countersign/';
/** The call waits for a person: see `stepUpMetaSchema`. */
export const STEP_UP_META = `${META_PREFIX}step_up`;
/** The call was refused: `{ error, error_description, next, detail? }`. */
export const REFUSAL_META = `${META_PREFIX}refusal`;
/** The recorded outcome of the same call made before; nothing ran: `{ redeemed_at, outcome }`. */
export const REPLAYED_META = `${META_PREFIX}replayed`;
/** In a request to the tool: the id of the one use of the approval that this run is. */
export const IDEMPOTENCY_META = `${META_PREFIX}idempotency_key`;

export const stepUpMetaSchema = z.object({
  id: z.string(),
  state: z.string(),
  /** For a person: the page that shows and decides the call. Holds an id only, no secret. */
  approval_url: z.string(),
  expires_at: z.string(),
});
