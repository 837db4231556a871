import type pg from 'pg';
import { eventRow } from '../../src/events/event_row.ts';
import { newId } from '../../src/kernel/ids.ts';
import type { Store } from '../../src/store/store.ts';

const UPDATE = `update bare_grants set uses = uses + 1
  where id = $1 and uses < max_uses and revoked_at is null and expires_at > clock_timestamp()
  returning step_up_id, binding_digest, uses`;

interface Used {
  readonly step_up_id: string;
  readonly binding_digest: string;
  readonly uses: number;
}

/** The least that uses a grant once, on copies of the tables; without a chain, a policy, a MAC key or a sealer. */
export class BareRedemptions {
  readonly #store: Store;
  readonly #pool: pg.Pool;
  readonly #grants: readonly string[];

  private constructor(store: Store, pool: pg.Pool, grants: readonly string[]) {
    this.#store = store;
    this.#pool = pool;
    this.#grants = grants;
  }

  static async prepare(store: Store, pool: pg.Pool): Promise<BareRedemptions> {
    for (const table of ['grants', 'redemptions', 'events']) {
      await pool.query(`create table bare_${table} (like ${table} including all)`);
    }
    await pool.query('insert into bare_grants select * from grants');
    const { rows } = await pool.query<{ id: string }>('select id from bare_grants order by id');
    return new BareRedemptions(
      store,
      pool,
      rows.map(({ id }) => id),
    );
  }

  async update(index: number): Promise<void> {
    await this.#use(this.#pool, this.#grantOf(index));
  }

  async record(index: number): Promise<void> {
    const client = await this.#pool.connect();
    try {
      await client.query('begin');
      const grant = this.#grantOf(index);
      const used = await this.#use(client, grant);
      const ids = { redemption: newId('red'), attempt: newId('att'), instance: 'gin_bench' };
      await client.query(
        `insert into bare_redemptions (id, grant_id, step_up_id, binding_digest, use_no, attempt_id, guard_instance)
          values ($1, $2, $3, $4, $5, $6, $7)`,
        [ids.redemption, grant, used.step_up_id, used.binding_digest, used.uses, ids.attempt, ids.instance],
      );
      const event = eventRow(this.#store, { kind: 'grant.redeemed', ids: { ...ids, grant } }, new Date());
      await client.query('insert into bare_events (kind, body, body_digest, mac, at) values ($1, $2, $3, $4, $5)', [
        ...[event.kind, event.body, event.body_digest, event.mac, event.at],
      ]);
      await client.query('commit');
    } finally {
      client.release();
    }
  }

  async #use(where: pg.Pool | pg.PoolClient, grant: string): Promise<Used> {
    const { rows } = await where.query<Used>(UPDATE, [grant]);
    if (rows[0] === undefined) throw new Error('The grant could not be used.');
    return rows[0];
  }

  #grantOf(index: number): string {
    return this.#grants[index % this.#grants.length] ?? '';
  }
}
