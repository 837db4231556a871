import { append } from '../../events/append.ts';
import { accepted, type Result, refused } from '../../kernel/result.ts';
import { type Acting, actingIds } from '../../model/acting.ts';
import type { Store } from '../../store/store.ts';
import { transact } from '../../store/transact.ts';
import type { Refusal } from '../../wire/refusals.ts';
import { NO_STREAM } from './change_stream.ts';

/** Deletes a stream with what waits for it, and with its dead letters: one of the receiver's own, or any for an administrator. */
export async function deleteStream(
  store: Store,
  input: { readonly streamId: string; readonly owner: { readonly receiver: string } | null; readonly by: Acting },
): Promise<Result<null, Refusal>> {
  const { streamId, owner, by } = input;
  return transact(store, async (tx, afterCommit) => {
    const deleted = await tx
      .deleteFrom('signal_streams')
      .where('id', '=', streamId)
      .$if(owner !== null, (query) => query.where('receiver', '=', owner!.receiver))
      .returning('receiver')
      .executeTakeFirst();
    if (deleted === undefined) return refused(NO_STREAM);
    await append(store, tx, afterCommit, {
      kind: 'signal_stream.deleted',
      ids: { stream: streamId, ...actingIds(by) },
      personal: { receiver: deleted.receiver },
    });
    return accepted(null);
  });
}
