import { randomUUID } from 'node:crypto';
import type { Result } from '../kernel/result.ts';
import { REASON_CHARACTERS_MAX } from '../wire/limits.ts';
import type { Refusal } from '../wire/refusals.ts';
import { signTxnChallenge } from '../wire/txn_challenge_rosomakho_00.ts';
import type { WireAction } from './action.ts';
import type { GuardContext } from './context.ts';
import { CHALLENGE_SECONDS } from './limits.ts';

/**
 * Signs the challenge of a registered step-up and hands it in, which opens it for people. The `txn` is the server's, so
 * that deduplicated step-ups and the draft agree (design-review 4).
 */
export async function handInChallenge(
  context: GuardContext,
  action: WireAction,
  stepUpId: string,
  txn: string,
  why: readonly string[],
): Promise<Result<null, Refusal>> {
  const { issuer, resource } = context.action;
  const reason = why.join(' ') || `A person must approve ${action.method} of ${action.name}.`;
  const challenge = await signTxnChallenge(
    {
      iss: resource,
      aud: issuer,
      jti: randomUUID(),
      txn,
      authorization_details: [
        { type: 'mcp_tool_call', resource, tool: action.name, action_digest: action.action_digest },
      ],
      reason: reason.slice(0, REASON_CHARACTERS_MAX).toWellFormed(),
    },
    { key: context.key.privateKey, kid: context.key.thumbprint, now: new Date(), lifetimeSeconds: CHALLENGE_SECONDS },
  );
  return context.point.handInChallenge(stepUpId, challenge);
}
