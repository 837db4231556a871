import { sql } from 'kysely';
import { expect } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { REFUSALS } from '../../src/wire/refusals.ts';
import type { Answer } from './raw_guard.ts';

/** What a refusal must leave as it was. Events, and the single use of client assertions, are recorded all the same. */
const TABLES = [
  ...['people', 'sessions', 'links', 'oauth_clients', 'agents', 'tool_servers', 'tools', 'tasks', 'delegations'],
  ...['step_ups', 'decisions', 'grants', 'redemptions', 'revoked_tokens', 'settings', 'policy_versions', 'keys'],
];

/** The number of rows of every table and a digest of their contents. */
export async function snapshot({ db }: Store): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const table of TABLES) {
    const { rows } = await sql<{ count: number; digest: string | null }>`
      select count(*) as count, md5(string_agg(t::text, '|' order by t::text)) as digest from ${sql.table(table)} as t
    `.execute(db);
    found[table] = `${rows[0]!.count} rows, ${rows[0]!.digest}`;
  }
  return found;
}

/** Sends, and holds the refusal to what every refusal owes: its code and status, words, a next step, nothing changed. */
export async function expectRefused(
  store: Store,
  code: keyof typeof REFUSALS,
  send: () => Promise<Answer>,
): Promise<Answer> {
  const before = await snapshot(store);
  const answer = await send();
  expect(answer.body).toMatchObject({ error: code, next: REFUSALS[code].next });
  expect(answer.status).toBe(REFUSALS[code].status);
  expect(answer.body.error_description).toMatch(/^.{10,}/);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  expect(await snapshot(store)).toEqual(before);
  return answer;
}
