import { randomBytes } from 'node:crypto';
import { type Selectable, sql } from 'kysely';
import { append } from '../events/append.ts';
import { sha256Base64url } from '../kernel/digest.ts';
import { newId } from '../kernel/ids.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { LinksTable } from '../store/postgres/tables.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transactRepeatably } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { hasAdministrator } from './administrator.ts';
import {
  DISPLAY_NAME_CHARACTERS_MAX,
  LINK_REPEAT_SECONDS,
  SECRET_CHARACTERS_MAX,
  USER_HANDLE_BYTES,
} from './limits.ts';
import { lockActivePerson, startSession } from './session.ts';
import { parseVisibleName } from './visible_name.ts';

export interface FoundLink {
  readonly kind: 'set_up' | 'invitation' | 'sign_in';
  readonly isAdministrator: boolean;
  readonly expiresAt: Date;
  /** Whom a sign-in link signs in; null for a link that makes a new person, who is asked for a name. */
  readonly displayName: string | null;
}

/** How a person who came by a link is recorded to have signed in. */
const LINK_AMR = ['link'] as const;
/** The transactions that use a set-up link pass one at a time. The number only has to differ from other locks of ours. */
const SET_UP_LOCK = 7_310_001;

/** What a link would do, for the page that asks before it is used. Changes nothing: mail scanners open links too. */
export async function findLink(store: Store, token: string): Promise<Result<FoundLink, Refusal>> {
  const link = await store.db
    .selectFrom('links')
    .leftJoin('people', 'people.id', 'links.person_id')
    .select(['links.kind', 'links.is_administrator', 'links.expires_at', 'links.used_at', 'people.display_name'])
    .select(sql<boolean>`links.expires_at <= clock_timestamp()`.as('is_expired'))
    .where('token_hash', '=', hashOf(token))
    .executeTakeFirst();
  const problem = linkProblem(link);
  if (problem !== null) return refused(problem);
  const { kind, is_administrator, expires_at, display_name } = link!;
  if (kind === 'set_up' && (await hasAdministrator(store))) return refused(SET_UP_IS_OVER);
  return accepted({ kind, isAdministrator: is_administrator, expiresAt: expires_at, displayName: display_name });
}

/**
 * Uses the link: of many who try at once, one is signed in. A refusal leaves the link as it was. The page that used it may
 * send its form again for a while, because the answer with the session can be lost: it gets another session of the same
 * person. `attempt` is the random value that only this showing of the page has.
 */
export async function useLink(
  store: Store,
  token: string,
  answer: { readonly displayName: string; readonly attempt?: string },
): Promise<Result<{ personId: string; cookieValue: string }, Refusal>> {
  return transactRepeatably(store, async (tx, afterCommit) => {
    const link = await tx
      .selectFrom('links')
      .selectAll()
      .select(sql<boolean>`expires_at <= clock_timestamp()`.as('is_expired'))
      .select(
        sql<boolean>`coalesce(used_at > clock_timestamp() - make_interval(secs => ${LINK_REPEAT_SECONDS}), false)`.as(
          'is_recently_used',
        ),
      )
      .where('token_hash', '=', hashOf(token))
      .forUpdate()
      .executeTakeFirst();
    const attempt = hashOf(answer.attempt ?? '');
    if (link?.is_recently_used && link.used_by !== null && attempt !== '' && link.used_attempt_hash === attempt) {
      if (!(await lockActivePerson(tx, link.used_by))) return refused(WAS_DISABLED);
      const again = await startSession(store, tx, afterCommit, { personId: link.used_by, amr: LINK_AMR });
      return accepted({ personId: link.used_by, cookieValue: again.cookieValue });
    }
    const problem = linkProblem(link);
    if (problem !== null) return refused(problem);
    if (link!.kind === 'set_up') {
      await sql`select pg_advisory_xact_lock(${SET_UP_LOCK})`.execute(tx);
      if (await hasAdministrator({ db: tx })) return refused(SET_UP_IS_OVER);
    }
    const person = await personOfLink(store, tx, afterCommit, link!, answer.displayName);
    if (!person.ok) return person;
    await tx
      .updateTable('links')
      .set({
        used_at: sql<Date>`clock_timestamp()`,
        used_by: person.value,
        used_attempt_hash: attempt === '' ? null : attempt,
      })
      .where('token_hash', '=', link!.token_hash)
      .execute();
    await append(store, tx, afterCommit, {
      kind: 'link.used',
      ids: { link: link!.token_hash, link_kind: link!.kind, person: person.value },
    });
    const session = await startSession(store, tx, afterCommit, { personId: person.value, amr: LINK_AMR });
    return accepted({ personId: person.value, cookieValue: session.cookieValue });
  });
}

async function personOfLink(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  link: Selectable<LinksTable>,
  displayName: string,
): Promise<Result<string, Refusal>> {
  if (link.person_id !== null) {
    if (await lockActivePerson(tx, link.person_id)) return accepted(link.person_id);
    return refused(WAS_DISABLED);
  }
  const name = parseVisibleName(displayName, DISPLAY_NAME_CHARACTERS_MAX);
  if (!name.ok) return name;
  const personId = newId('prs');
  await tx
    .insertInto('people')
    .values({
      id: personId,
      display_name: name.value,
      state: 'active',
      is_administrator: link.is_administrator,
      user_handle: randomBytes(USER_HANDLE_BYTES),
    })
    .execute();
  await append(store, tx, afterCommit, {
    kind: 'person.created',
    ids: { person: personId, is_administrator: Number(link.is_administrator), created_by: link.created_by },
    personal: { display_name: name.value },
  });
  return accepted(personId);
}

const WAS_DISABLED = refusal('person_inactive', 'This person was disabled. Nobody was signed in.');
const SET_UP_IS_OVER = refusal(
  'conflict',
  'This server has an administrator already, so its set-up links no longer work. Ask the administrator for an invitation.',
);

function linkProblem(
  link: { readonly used_at: Date | null; readonly is_expired: boolean } | undefined,
): Refusal | null {
  if (link === undefined) return refusal('not_found', 'There is no such link. Check that it was copied whole.');
  if (link.used_at !== null) {
    return refusal('conflict', 'This link was used. It works once; ask for a new one if it was not you who used it.');
  }
  return link.is_expired ? refusal('conflict', 'This link has expired. Ask for a new one.') : null;
}

function hashOf(token: string): string {
  return token === '' || token.length > SECRET_CHARACTERS_MAX ? '' : sha256Base64url(token);
}
