import { z } from 'zod';
import { stepUpMetaSchema } from './result_meta.ts';

/**
 * Our extension of A2A 1.0 (§4.6): an agent card that names it says that messages are decided by a Countersign server and
 * may wait for a person. In `metadata` of messages everything of ours is one object under this name.
 */
export const A2A_EXTENSION_URI = 'urn:countersign:a2a:step-up:1';
/** `domain` of `google.rpc.ErrorInfo` (A2A §9.5); its `reason` is a code of our list of refusals, in capitals. */
export const A2A_ERROR_DOMAIN = 'countersign';
/** Every message that is not for a skill of its own counts as a call of this tool. */
export const A2A_MESSAGE_TOOL = 'message';
export const A2A_VERSION = '1.0';

/** `params` of the extension in an agent card. */
export const a2aExtensionParams = z.object({
  issuer: z.string(),
  /** Ask for tokens whose `resource` is this. */
  resource: z.string(),
  /** What a task must include: one tool for each skill that is decided by itself, and `message`. */
  tools: z.array(z.string()),
});
export type A2AExtensionParams = z.infer<typeof a2aExtensionParams>;

/** What a client may say, in the metadata of a message that it sends. */
export const a2aSaid = z.strictObject({
  /** The id of the skill that the message is for. */
  skill: z.string().min(1).max(256).optional(),
});

const refusalSchema = z.object({
  error: z.string(),
  error_description: z.string(),
  next: z.string(),
  detail: z.record(z.string(), z.unknown()).optional(),
});

/** What a guard says, in the metadata of the status message of a task, or of a task that is answered once more. */
export const a2aTold = z.object({
  step_up: stepUpMetaSchema.optional(),
  refusal: refusalSchema.optional(),
  replayed: z.object({ redeemed_at: z.string(), outcome: z.enum(['done', 'failed', 'unknown']) }).optional(),
});
export type A2ATold = z.infer<typeof a2aTold>;
