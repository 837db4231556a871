import { sql } from 'kysely';
import type { Store } from '../store/store.ts';
import { STATUSES_PER_LIST } from '../wire/token_status_list_17.ts';
import { STATUS_NUMBERS_PER_BLOCK } from './limits.ts';

interface Block {
  next: number;
  end: number;
}

/** Numbers for the tokens of this process: it takes them in blocks, so that a token costs no question to the database. */
export class StatusNumbers {
  readonly #store: Pick<Store, 'db'>;
  #block: Block = { next: 0, end: 0 };
  #taking: Promise<void> | null = null;

  constructor(store: Pick<Store, 'db'>) {
    this.#store = store;
  }

  async next(): Promise<number> {
    while (this.#block.next >= this.#block.end) {
      this.#taking ??= this.#take().finally(() => {
        this.#taking = null;
      });
      await this.#taking;
    }
    this.#block.next += 1;
    return this.#block.next - 1;
  }

  async #take(): Promise<void> {
    const { rows } = await sql<{ block: number }>`select nextval('token_status_blocks') as block`.execute(
      this.#store.db,
    );
    const first = Number(rows[0]!.block) * STATUS_NUMBERS_PER_BLOCK;
    this.#block = { next: first, end: first + STATUS_NUMBERS_PER_BLOCK };
  }
}

/**
 * The places in a list of tokens that may be alive and are revoked: by themselves, by their delegation (which every revocation
 * above it marks), or since an agent of their chain was suspended. Null for a list that no token was ever put into.
 */
export async function revokedPlaces({ db }: Pick<Store, 'db'>, list: number): Promise<number[] | null> {
  const first = (list - 1) * STATUSES_PER_LIST;
  const { rows: blocks } = await sql<{
    taken: number;
  }>`select case when is_called then last_value + 1 else 0 end as taken
    from token_status_blocks`.execute(db);
  if (first >= Number(blocks[0]!.taken) * STATUS_NUMBERS_PER_BLOCK) return null;
  const { rows } = await sql<{ place: number }>`select (s.status_index - ${first})::int as place
    from token_statuses s left join delegations d on d.id = s.delegation_id
    where s.status_index >= ${first} and s.status_index < ${first + STATUSES_PER_LIST} and s.expires_at > now()
      and (d.revoked_at is not null
        or exists (select from revoked_tokens r where r.jti = s.jti)
        or exists (select from agents a
          where (a.id = any(d.agent_chain) or a.id = d.agent_id)
            and (a.state <> 'active' or a.ends_at <= clock_timestamp() or a.suspended_at >= s.issued_at)))`.execute(db);
  return rows.map(({ place }) => place);
}
