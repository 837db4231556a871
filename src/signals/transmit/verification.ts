import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import type { Store } from '../../store/store.ts';
import { transact } from '../../store/transact.ts';
import { CHANNELS } from '../../store/wake.ts';
import { type Refusal, refusal } from '../../wire/refusals.ts';
import { writeSetClaims } from '../../wire/set_rfc8417.ts';
import { verificationEvent } from '../../wire/ssf_1_0.ts';
import { VERIFICATION_INTERVAL_SECONDS } from '../limits.ts';
import { NO_STREAM } from '../streams/change_stream.ts';
import { lockStream } from '../streams/stream.ts';

/** Sends a verification event behind what waits, with the receiver's own words in it (SSF 1.0 §8.1.4.2). */
export async function requestVerification(
  store: Store,
  receiver: string,
  request: { readonly streamId: string; readonly state: string | undefined },
): Promise<Result<null, Refusal>> {
  return transact(store, async (tx, afterCommit) => {
    const stream = await lockStream(tx, receiver, request.streamId);
    if (stream === undefined) return refused(NO_STREAM);
    if (stream.status === 'disabled') {
      return refused(
        refusal('request_invalid', 'The stream is disabled, so nothing is sent over it. Enable it first.'),
      );
    }
    if (!(await isVerificationDue(store, stream.id))) {
      const words = `A stream is verified once in ${VERIFICATION_INTERVAL_SECONDS} s at most.`;
      return refused(refusal('rate_limited', words, { retry_after_seconds: VERIFICATION_INTERVAL_SECONDS }));
    }
    const { rows } = await sql<{ at: Date }>`select clock_timestamp() as at`.execute(tx);
    const jti = randomUUID();
    const claims = writeSetClaims(verificationEvent(stream.id, request.state), {
      issuer: store.issuer,
      audience: stream.receiver,
      jti,
      issuedAt: rows[0]!.at,
    });
    await tx.insertInto('signal_messages').values({ jti, stream_id: stream.id, claims }).execute();
    afterCommit(() => store.ephemeral.publish(CHANNELS.signals, ''));
    return accepted(null);
  });
}

/** What cannot be counted is refused: a receiver asks again. */
function isVerificationDue(store: Store, streamId: string): Promise<boolean> {
  return store.ephemeral.putIfAbsent(`signal_verification:${streamId}`, '1', VERIFICATION_INTERVAL_SECONDS * 1_000);
}
