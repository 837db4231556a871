import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { sha256Base64url } from '../kernel/digest.ts';
import { newId, newSecret } from '../kernel/ids.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { type Acting, actingIds } from '../model/acting.ts';
import type { ApiTokenScope } from '../model/api_token.ts';
import type { Store } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import {
  API_TOKEN_NAME_CHARACTERS_MAX,
  API_TOKEN_SECONDS_MAX,
  API_TOKEN_USE_RECORDED_SECONDS,
  SECRET_CHARACTERS_MAX,
} from './limits.ts';
import { lockActivePerson } from './session.ts';
import { parseVisibleName } from './visible_name.ts';

/** So that scanners of source code and logs recognise one that leaked. */
const API_TOKEN_PREFIX = 'cst_';

export interface NewApiToken {
  readonly name: string;
  readonly scopes: readonly ApiTokenScope[];
  readonly seconds: number;
  readonly by: Acting;
}

/** Makes a token of 256 bits. It is shown this once: only its hash is kept. The caller has checked who may make one. */
export async function makeApiToken(
  store: Store,
  input: NewApiToken,
): Promise<Result<{ id: string; token: string; expiresAt: Date }, Refusal>> {
  const name = parseVisibleName(input.name, API_TOKEN_NAME_CHARACTERS_MAX);
  if (!name.ok) return name;
  const scopes = [...new Set(input.scopes)].sort();
  if (scopes.length === 0) {
    return refused(refusal('request_invalid', 'A token without a scope can do nothing. Name at least one.'));
  }
  if (!(Number.isInteger(input.seconds) && input.seconds > 0 && input.seconds <= API_TOKEN_SECONDS_MAX)) {
    const days = API_TOKEN_SECONDS_MAX / 86_400;
    return refused(refusal('request_invalid', `A token lives for one second at least and ${days} days at most.`));
  }
  const id = newId('apt');
  const token = `${API_TOKEN_PREFIX}${newSecret()}`;
  const createdBy = input.by.kind === 'person' ? input.by.id : null;
  return transact(store, async (tx, afterCommit) => {
    if (createdBy !== null && !(await lockActivePerson(tx, createdBy))) {
      return refused(refusal('person_inactive', 'You were disabled. No token was made.'));
    }
    const { expires_at } = await tx
      .insertInto('api_tokens')
      .values({
        id,
        token_hash: sha256Base64url(token),
        name: name.value,
        scopes: JSON.stringify(scopes),
        created_by: createdBy,
        expires_at: sql<Date>`clock_timestamp() + make_interval(secs => ${input.seconds})`,
      })
      .returning('expires_at')
      .executeTakeFirstOrThrow();
    await append(store, tx, afterCommit, {
      kind: 'api_token.made',
      ids: {
        api_token: id,
        scopes: scopes.join(' '),
        expires_at: expires_at.toISOString(),
        ...actingIds(input.by),
      },
      personal: { name: name.value },
    });
    return accepted({ id, token, expiresAt: expires_at });
  });
}

/** The live token this text is, if it has the scope. One that the person who made it can no longer answer for is dead. */
export async function findApiToken(
  store: Store,
  token: string,
  scope: ApiTokenScope,
): Promise<Result<{ id: string; scopes: readonly string[] }, Refusal>> {
  if (!token.startsWith(API_TOKEN_PREFIX) || token.length > SECRET_CHARACTERS_MAX) return refused(UNKNOWN);
  const row = await store.db
    .selectFrom('api_tokens')
    .leftJoin('people', 'people.id', 'api_tokens.created_by')
    .select(['api_tokens.id', 'scopes', 'revoked_at', 'created_by', 'people.state as maker_state'])
    .select(sql<boolean>`expires_at <= clock_timestamp()`.as('is_expired'))
    .select(
      sql<boolean>`coalesce(last_used_at < clock_timestamp() - make_interval(secs => ${API_TOKEN_USE_RECORDED_SECONDS}), true)`.as(
        'is_use_due',
      ),
    )
    .where('token_hash', '=', sha256Base64url(token))
    .executeTakeFirst();
  if (row === undefined || row.revoked_at !== null) return refused(UNKNOWN);
  if (row.is_expired) return refused(refusal('token_expired', 'The API token has expired. Make a new one.'));
  if (row.created_by !== null && row.maker_state !== 'active') {
    return refused(refusal('token_invalid', 'Whoever made this API token was disabled, and the token with them.'));
  }
  if (!row.scopes.includes(scope)) {
    return refused(refusal('not_allowed', `The API token lacks the scope "${scope}". Make one that has it.`));
  }
  if (row.is_use_due) {
    await store.db
      .updateTable('api_tokens')
      .set({ last_used_at: sql<Date>`clock_timestamp()` })
      .where('id', '=', row.id)
      .execute();
  }
  return accepted({ id: row.id, scopes: row.scopes });
}

const UNKNOWN = refusal('token_invalid', 'There is no such API token, or it was revoked.');

/** Ends the token. Ending it again changes nothing and is refused. */
export async function revokeApiToken(
  store: Store,
  input: { readonly id: string; readonly by: Acting },
): Promise<Result<null, Refusal>> {
  return transact(store, async (tx, afterCommit) => {
    const revoked = await tx
      .updateTable('api_tokens')
      .set({ revoked_at: sql<Date>`clock_timestamp()` })
      .where('id', '=', input.id)
      .where('revoked_at', 'is', null)
      .returning('id')
      .executeTakeFirst();
    if (revoked === undefined) {
      return refused(refusal('not_found', 'There is no API token with this id that still works.'));
    }
    await append(store, tx, afterCommit, {
      kind: 'api_token.revoked',
      ids: { api_token: input.id, ...actingIds(input.by) },
    });
    return accepted(null);
  });
}

export interface ListedApiToken {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly state: 'live' | 'expired' | 'revoked';
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly lastUsedAt: Date | null;
}

/** Every token there ever was, the newest first; of none of them more than what it may do. */
export async function listApiTokens(store: Store): Promise<ListedApiToken[]> {
  const rows = await store.db
    .selectFrom('api_tokens')
    .select(['id', 'name', 'scopes', 'created_at', 'expires_at', 'last_used_at', 'revoked_at'])
    .select(sql<boolean>`expires_at <= clock_timestamp()`.as('is_expired'))
    .orderBy('created_at', 'desc')
    .orderBy('id')
    .execute();
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    scopes: row.scopes,
    state: row.revoked_at !== null ? 'revoked' : row.is_expired ? 'expired' : 'live',
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
  }));
}
