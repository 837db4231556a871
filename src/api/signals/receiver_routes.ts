import type Router from '@koa/router';
import type { Context } from 'koa';
import getRawBody from 'raw-body';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { KeysUnreachable, type RemoteKeySets } from '../../keys/remote_key_sets.ts';
import { createSignalReceiver } from '../../signals/receive/receive.ts';
import type { Transmitter } from '../../signals/receive/transmitter.ts';
import type { Store } from '../../store/store.ts';
import { refusal } from '../../wire/refusals.ts';
import { ACCEPTED_STATUS, type SetError } from '../../wire/set_push_rfc8935.ts';
import { SET_MEDIA_TYPE } from '../../wire/set_rfc8417.ts';
import { SSF_PATHS } from '../../wire/ssf_1_0.ts';
import { answerRefusal } from '../http.ts';
import { SET_BYTES_MAX } from '../limits.ts';

export interface ReceiverParts {
  readonly store: Store;
  readonly transmitters: readonly Transmitter[];
  readonly keySets: RemoteKeySets;
}

/** Where configured transmitters push to (RFC 8935). Without one there is no such address. */
export function addSignalReceiverRoutes(router: Router, { store, transmitters, keySets }: ReceiverParts): void {
  if (transmitters.length === 0) return;
  const receiver = createSignalReceiver(store, transmitters, keySets);
  router.post(SSF_PATHS.events, async (ctx) => {
    const token = await readToken(ctx);
    if (!token.ok) return answerError(ctx, 'invalid_request', token.refusal);
    try {
      const received = await receiver.receive(token.value);
      if (!received.ok) return answerError(ctx, received.refusal.error, received.refusal.message);
      ctx.body = null;
      ctx.status = ACCEPTED_STATUS;
    } catch (error) {
      if (!(error instanceof KeysUnreachable)) throw error;
      store.log.error({ err: error }, 'a security event cannot be verified; its transmitter is asked to send it again');
      answerRefusal(ctx, refusal('unavailable', 'The keys of the issuer cannot be read now.'));
    }
  });
}

async function readToken(ctx: Context): Promise<Result<string, string>> {
  if (!ctx.is(SET_MEDIA_TYPE)) return refused(`Send the token as ${SET_MEDIA_TYPE}.`);
  const length = ctx.req.headers['content-length'];
  try {
    const options = { limit: SET_BYTES_MAX, encoding: 'latin1', ...(length === undefined ? {} : { length }) };
    return accepted((await getRawBody(ctx.req, options)).trim());
  } catch {
    return refused(`The token did not arrive whole, or has more than ${SET_BYTES_MAX} bytes.`);
  }
}

/** RFC 8935 §2.3 */
function answerError(ctx: Context, err: SetError, description: string): void {
  ctx.status = 400;
  ctx.set('Cache-Control', 'no-store');
  ctx.set('Content-Language', 'en');
  ctx.body = { err, description };
}
