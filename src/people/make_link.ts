import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { sha256Base64url } from '../kernel/digest.ts';
import { newSecret } from '../kernel/ids.ts';
import type { Store } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { hasAdministrator } from './administrator.ts';
import { LINK_SECONDS_MAX } from './limits.ts';
import { lockActivePerson } from './session.ts';

export interface NewLink {
  /** `set_up` makes the first administrator, `invitation` a new person, `sign_in` a session of `personId`. */
  readonly kind: 'set_up' | 'invitation' | 'sign_in';
  readonly personId?: string;
  readonly isAdministrator: boolean;
  /** The administrator who made it; null for the server itself, at its own console. */
  readonly createdBy: string | null;
  readonly ttlSeconds: number;
}

/**
 * Makes a link that works once. Only the hash of its token is kept. The caller has checked who may make it; asking for
 * a set-up link although there is an administrator is a bug of the caller and throws.
 */
export async function makeLink(store: Store, link: NewLink): Promise<{ token: string }> {
  if ((link.kind === 'sign_in') !== (link.personId !== undefined)) {
    throw new TypeError('A sign-in link names a person; the other kinds make one.');
  }
  if (!(link.ttlSeconds > 0 && link.ttlSeconds <= LINK_SECONDS_MAX)) {
    throw new RangeError(`A link lives for 1 to ${LINK_SECONDS_MAX} seconds, not ${link.ttlSeconds}.`);
  }
  const token = newSecret();
  const tokenHash = sha256Base64url(token);
  const isAdministrator = link.kind === 'set_up' || (link.kind === 'invitation' && link.isAdministrator);
  await transact(store, async (tx, afterCommit) => {
    if (link.kind === 'set_up' && (await hasAdministrator({ db: tx }))) {
      throw new Error('There is an administrator already: a set-up link would make a second one for whoever holds it.');
    }
    // Held until the commit, so that disabling the maker finds this link too.
    if (link.createdBy !== null && !(await lockActivePerson(tx, link.createdBy))) {
      throw new Error(`${link.createdBy} was disabled and makes no links.`);
    }
    await tx
      .insertInto('links')
      .values({
        token_hash: tokenHash,
        kind: link.kind,
        person_id: link.personId ?? null,
        is_administrator: isAdministrator,
        created_by: link.createdBy,
        expires_at: sql<Date>`clock_timestamp() + make_interval(secs => ${link.ttlSeconds})`,
      })
      .execute();
    await append(store, tx, afterCommit, {
      kind: 'link.made',
      ids: {
        link: tokenHash,
        link_kind: link.kind,
        person: link.personId ?? null,
        created_by: link.createdBy,
        is_administrator: Number(isAdministrator),
      },
    });
  });
  return { token };
}
