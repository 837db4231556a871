import { z } from 'zod';
import { RISK_CLASSES } from './manifest.ts';

/**
 * The REST interface between a guard and the server, version 1. The guard authenticates with a DPoP-bound access token
 * (client credentials, `private_key_jwt`, resource = GUARD_API_PATH at the issuer) and may act for its own tool server
 * only. Who calls is derived by the server from `caller.access_token`, never from the guard's word.
 */
export const GUARD_API_PATH = '/guard/v1';
export const GUARD_API_SCOPE = 'guard';

export const GUARD_API = {
  /** Decide one message. Answers `EvaluateAnswer`. */
  evaluate: `${GUARD_API_PATH}/evaluate`,
  /** Hand in the signed transaction challenge of a registered step-up, which opens it. */
  challenges: `${GUARD_API_PATH}/challenges`,
  /** Long-poll: `GET ?seconds=0..25`. Answers `StepUpStatus`. */
  wait: (stepUpId: string) => `${GUARD_API_PATH}/step-ups/${encodeURIComponent(stepUpId)}/wait`,
  /** The caller cancelled explicitly. */
  withdraw: (stepUpId: string) => `${GUARD_API_PATH}/step-ups/${encodeURIComponent(stepUpId)}/withdraw`,
  /** Use the grant for exactly this action, once per attempt. Answers `RedeemAnswer`. */
  redeem: `${GUARD_API_PATH}/redeem`,
  outcome: (redemptionId: string) => `${GUARD_API_PATH}/redemptions/${encodeURIComponent(redemptionId)}/outcome`,
  /** Which of these tools this caller's task may use. Answers `VisibleTools`. */
  visibleTools: `${GUARD_API_PATH}/visible-tools`,
  /** Report the tools the server lists now. Answers `ManifestAnswer`. */
  manifest: `${GUARD_API_PATH}/manifest`,
  /**
   * Long-poll: `GET ?nonce=…&seconds=0..5`, with `epoch`, `position` and `head` of the lease the guard holds, if it holds
   * one. Answers `{ lease }`, a signed lease (`wire/lease.ts`): at once when something was revoked, else after that time.
   */
  lease: `${GUARD_API_PATH}/lease`,
} as const;

/** Where a guard without an accepted registration asks for one; an administrator accepts it (no authentication). */
export const REGISTRATION_PATH = '/guard/v1/registrations';

const jsonObject = z.record(z.string(), z.unknown());
const digest = z.string().regex(/^[A-Za-z0-9_-]{43}$/);
const id = z.string().min(1).max(64);

export const callerSchema = z.strictObject({
  access_token: z.string().min(1).max(8192),
  /** The caller's DPoP proof was checked by the guard against this key; null for bearer tokens. */
  dpop_jkt: digest.nullable(),
});

/** The call as the guard describes it; issuer, resource and deployment come from the server's own record of the guard. */
export const actionSchema = z.strictObject({
  method: z.enum(['tools/call', 'resources/read', 'prompts/get', 'completion/complete', 'resources/subscribe']),
  /** Tool or prompt name, or resource URI. */
  name: z.string().min(1).max(2048),
  /** Of the tool as the server lists it now; null where there is no tool. */
  manifest_digest: digest.nullable(),
  arguments: jsonObject,
  input_responses: z.unknown().nullable(),
  facts: jsonObject,
  /** As the guard computed it; a difference is refused, so that both sides mean the same bytes. */
  action_digest: digest,
});

export const evaluateRequestSchema = z.strictObject({
  caller: callerSchema,
  action: actionSchema,
  guard_instance: id,
});
export type EvaluateRequest = z.infer<typeof evaluateRequestSchema>;

export const principalSchema = z.object({
  requester: z.string(),
  agent: z.string(),
  task: z.string(),
  delegation: z.string(),
  client_id: z.string(),
});
export type Principal = z.infer<typeof principalSchema>;

export const refusalBodySchema = z.object({
  error: z.string(),
  error_description: z.string(),
  next: z.string(),
  detail: jsonObject.optional(),
});

export const STEP_UP_STATES = ['registered', 'open', 'approved', 'denied', 'expired', 'withdrawn'] as const;
export type StepUpState = (typeof STEP_UP_STATES)[number];

export const stepUpStatusSchema = z.object({
  step_up_id: z.string(),
  state: z.enum(STEP_UP_STATES),
  /** The approver's reason, or why it ended. */
  reason: z.string().nullable(),
  expires_at: z.string(),
  /** For people: the page that shows and decides it. Carries an id only. */
  approval_url: z.string(),
});
export type StepUpStatus = z.infer<typeof stepUpStatusSchema>;

export const evaluateAnswerSchema = z.discriminatedUnion('decision', [
  z.object({ decision: z.literal('permit'), principal: principalSchema }),
  z.object({ decision: z.literal('deny'), principal: principalSchema.nullable(), refusal: refusalBodySchema }),
  /** The same action ran within the replay window: give this outcome, run nothing. */
  z.object({
    decision: z.literal('replay'),
    principal: principalSchema,
    redeemed_at: z.string(),
    outcome: z.enum(['done', 'failed', 'unknown']),
    result: jsonObject.nullable(),
  }),
  /** A live grant waits for exactly this action: redeem it. */
  z.object({ decision: z.literal('approved'), principal: principalSchema, step_up: stepUpStatusSchema }),
  z.object({
    decision: z.literal('step_up'),
    principal: principalSchema,
    step_up: stepUpStatusSchema,
    /** Present when the step-up is new: sign this `txn` and hand the challenge in; null if it is open already. */
    txn: z.string().nullable(),
    why: z.array(z.string()),
    /** Scope lane: allowed for this client now (design §5), with the base scope to name beside `step_up:<id>`. */
    scope_challenge: z.object({ allowed: z.boolean(), base_scope: z.string() }),
  }),
]);
export type EvaluateAnswer = z.infer<typeof evaluateAnswerSchema>;

export const challengeRequestSchema = z.strictObject({ step_up_id: id, challenge: z.string().max(131_072) });

export const redeemRequestSchema = z.strictObject({
  caller: callerSchema,
  action: actionSchema,
  /** 128 random bits, made by the guard for this execution; nothing a client sent enters it. */
  attempt_id: id,
  guard_instance: id,
});
export type RedeemRequest = z.infer<typeof redeemRequestSchema>;

export const redeemAnswerSchema = z.object({
  redemption_id: z.string(),
  step_up_id: z.string(),
  /** True if this very attempt was answered before: it must not run a second time. */
  repeated: z.boolean(),
});
export type RedeemAnswer = z.infer<typeof redeemAnswerSchema>;

export const outcomeRequestSchema = z.strictObject({
  attempt_id: id,
  guard_instance: id,
  outcome: z.enum(['done', 'failed', 'unknown']),
  /** The JSON-RPC result or error object to replay; null if none or larger than the server keeps. */
  result: jsonObject.nullable(),
});

export const visibleToolsRequestSchema = z.strictObject({
  caller: callerSchema,
  tools: z.array(z.strictObject({ name: z.string().max(512), manifest_digest: digest })).max(2000),
});
export const visibleToolsSchema = z.object({ principal: principalSchema, tools: z.array(z.string()) });

export const manifestRequestSchema = z.strictObject({ tools: z.array(jsonObject).max(2000) });
export const manifestAnswerSchema = z.object({
  tool_server: z.string(),
  accepted: z.number(),
  /** Tools that wait for their owner, by name. */
  waiting: z.array(z.string()),
});

export const leaseAnswerSchema = z.object({ lease: z.string().min(1) });

export const registrationRequestSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/),
  resource: z.url().max(2048),
  deployment: z.string().max(8192),
  /** The guard's public key (JWK, ES256). */
  jwk: jsonObject,
  tools: z.array(jsonObject).max(2000),
  /** Classes the operator of the guard proposes; its owner accepts or changes them. */
  proposed_risks: z.record(z.string(), z.enum(RISK_CLASSES)),
});
export type RegistrationRequest = z.infer<typeof registrationRequestSchema>;

export const registrationAnswerSchema = z.object({
  tool_server: z.string(),
  client_id: z.string(),
  state: z.enum(['pending', 'active', 'suspended', 'rejected']),
  /** To be published as `countersign_registration` in the protected-resource metadata until accepted. */
  nonce: z.string(),
  /** The page where an administrator accepts it. */
  console_url: z.string(),
});
export type RegistrationAnswer = z.infer<typeof registrationAnswerSchema>;
