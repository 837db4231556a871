import { PolicyBook } from '../agents/policy_book.ts';
import { append } from '../events/append.ts';
import { loadPolicySet, type PolicySet } from '../policy/policy_set.ts';
import { formatPolicyProblem } from '../policy/problem.ts';
import { readPolicyFolder } from '../policy/read_folder.ts';
import type { Store } from '../store/store.ts';
import { transact } from '../store/transact.ts';

/** The policies cannot be used; the message lists what is wrong, with file and line. */
export class PolicyError extends Error {
  override name = 'PolicyError';
}

/** Loads the policy set of a folder and records it if it is not the one in force. A broken set refuses the start. */
export async function loadPolicyBook(store: Store, folder: string): Promise<PolicyBook> {
  const files = await readPolicyFolder(folder);
  const set = files.ok ? loadPolicySet(files.value) : files;
  if (!set.ok) {
    throw new PolicyError(
      `The policies in ${folder} cannot be used:\n${set.refusal.map(formatPolicyProblem).join('\n')}`,
    );
  }
  await recordVersion(store, set.value, files.ok ? files.value : []);
  return new PolicyBook(set.value);
}

async function recordVersion(
  store: Store,
  set: PolicySet,
  files: readonly { path: string; text: string }[],
): Promise<void> {
  await transact(store, async (tx, afterCommit) => {
    const active = await tx
      .selectFrom('policy_versions')
      .select('version')
      .orderBy('serial', 'desc')
      .limit(1)
      .executeTakeFirst();
    if (active?.version === set.version) return;
    const row = await tx
      .insertInto('policy_versions')
      .values({ version: set.version, files: JSON.stringify(files.map(({ path, text }) => ({ path, text }))) })
      .returning('serial')
      .executeTakeFirstOrThrow();
    await append(store, tx, afterCommit, {
      kind: 'policy.activated',
      ids: { policy_version: set.version, serial: row.serial, policies: set.policies.length },
    });
  });
}
