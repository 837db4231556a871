import type { Store } from '../../store/store.ts';

/**
 * Which receiver a machine is: the name of its API token, which administrators choose. Tokens of the same name are the
 * same receiver, so that a token can be replaced and the streams stay.
 */
export async function receiverName(store: Store, apiTokenId: string): Promise<string> {
  const row = await store.db
    .selectFrom('api_tokens')
    .select('name')
    .where('id', '=', apiTokenId)
    .executeTakeFirstOrThrow();
  return row.name;
}
