import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { REFUSALS, refusal, refusalBody } from '../wire/refusals.ts';
import { REFUSAL_META, REPLAYED_META } from '../wire/result_meta.ts';
import { INTERNAL_ERROR_CODE, resultMessage, toldMessage } from './answers.ts';
import type { ReplayAnswer } from './decide.ts';
import type { InboundMessage } from './edge.ts';

/**
 * The recorded outcome of the same call, marked as replayed. Clients give up and send a call again, sometimes long after
 * it ran (lanes.md, zombie calls): they get what it answered then, and nothing runs.
 */
export function replayMessage(to: InboundMessage, answer: ReplayAnswer): JsonObject {
  const mark: JsonObject = { [REPLAYED_META]: { redeemed_at: answer.redeemed_at, outcome: answer.outcome } };
  const recorded = answer.result as JsonObject | null;
  if (answer.outcome === 'unknown') {
    const refused = refusal(
      'outcome_unknown',
      `The same call was started at ${answer.redeemed_at}. Nothing was run now.`,
    );
    const text = `${refused.message} ${REFUSALS.outcome_unknown.next}`;
    return toldMessage(to, text, { ...mark, [REFUSAL_META]: refusalBody(refused) });
  }
  if (isObject(recorded?.result)) {
    const { _meta: meta, ...result } = recorded.result;
    return resultMessage(to, { ...result, _meta: { ...(isObject(meta) ? meta : {}), ...mark } });
  }
  if (isObject(recorded?.error)) {
    const { code, message, data } = recorded.error;
    return {
      jsonrpc: '2.0',
      id: to.id,
      error: {
        code: typeof code === 'number' ? code : INTERNAL_ERROR_CODE,
        message: typeof message === 'string' ? message : 'The tool server failed.',
        data: { ...(isObject(data) ? data : {}), ...mark },
      },
    };
  }
  const text =
    `The same call ran at ${answer.redeemed_at} and ${answer.outcome === 'done' ? 'succeeded' : 'failed'}; ` +
    'its answer was too large to keep. Nothing was run now.';
  if (answer.outcome === 'failed') return toldMessage(to, text, mark);
  return resultMessage(to, { content: [{ type: 'text', text }], _meta: mark });
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
