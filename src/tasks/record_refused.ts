import { append } from '../events/append.ts';
import type { Store } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import type { Refusal } from '../wire/refusals.ts';

/** That an agent asked for a task and did not get it, and why, for those who look after agents. */
export async function recordRefusedTask(
  store: Store,
  about: { readonly agentId: string; readonly parentId?: string; readonly templateId?: string },
  { code, message }: Refusal,
): Promise<void> {
  await transact(store, (tx, afterCommit) =>
    append(store, tx, afterCommit, {
      kind: 'task.refused',
      ids: {
        agent: about.agentId,
        code,
        ...(about.parentId === undefined ? {} : { parent: about.parentId.slice(0, 64) }),
        ...(about.templateId === undefined ? {} : { template: about.templateId.slice(0, 64) }),
      },
      personal: { reason: message },
    }),
  );
}
