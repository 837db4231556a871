import type pg from 'pg';
import { sha256Base64url } from '../../kernel/digest.ts';
import { PREPARED_STATEMENTS_MAX, PREPARED_TEXT_CHARACTERS_MAX } from './limits.ts';

const EVERY_COLUMN = /(?<!count\()\*/;

/**
 * Lets a connection prepare each statement with parameters once and run it by name from then on: planning our joins costs
 * PostgreSQL several times what running them does. Not `on conflict`: a general plan cannot see that the parameters of its
 * `where` match the predicate of a partial index, and fails. Texts are few, since values are parameters. A statement that
 * reads every column fails once after a migration adds one: it is prepared and run anew, and in a transaction, which that
 * would abort, never prepared at all.
 */
export function prepareStatements(client: pg.PoolClient): void {
  const names = new Map<string, string>();
  const query = client.query.bind(client) as (...args: unknown[]) => unknown;
  const prepared = (text: unknown, values: unknown, ...rest: unknown[]): unknown => {
    if (typeof text !== 'string' || !isPreparable(text, client) || !Array.isArray(values) || values.length === 0) {
      return query(text, values, ...rest);
    }
    let name = names.get(text);
    if (name === undefined && names.size < PREPARED_STATEMENTS_MAX && text.length <= PREPARED_TEXT_CHARACTERS_MAX) {
      name = sha256Base64url(text);
      names.set(text, name);
    }
    if (name === undefined) return query(text, values, ...rest);
    const running = query({ name, text, values }, ...rest);
    if (!(running instanceof Promise)) return running;
    return running.catch((error: unknown) => {
      if (!isOutdated(error)) throw error;
      // Under a new name it is planned anew.
      names.set(text, sha256Base64url(`${names.get(text)} again`));
      if (client.getTransactionStatus() !== 'I') throw error;
      return prepared(text, values, ...rest);
    });
  };
  client.query = prepared as typeof client.query;
}

function isPreparable(text: string, client: pg.PoolClient): boolean {
  if (!/^(select|with|insert|update) /.test(text) || text.includes(' on conflict ')) return false;
  return !EVERY_COLUMN.test(text) || client.getTransactionStatus() === 'I';
}

/** "cached plan must not change result type", by the function that raises it: the text depends on the server's language. */
export function isOutdated(error: unknown): boolean {
  const { code, routine } = (error ?? {}) as { code?: unknown; routine?: unknown };
  return code === '0A000' && routine === 'RevalidateCachedQuery';
}
