import type pg from 'pg';
import { sha256Base64url } from '../../kernel/digest.ts';
import { PREPARED_STATEMENTS_MAX, PREPARED_TEXT_CHARACTERS_MAX } from './limits.ts';

/**
 * Lets a connection prepare each statement with parameters once and run it by name from then on: planning our joins costs
 * PostgreSQL several times what running them does. Not `on conflict`: a general plan cannot see that the parameters of its
 * `where` match the predicate of a partial index, and fails. Texts are few, since values are parameters.
 */
export function prepareStatements(client: pg.PoolClient): void {
  const names = new Map<string, string>();
  const query = client.query.bind(client) as (...args: unknown[]) => unknown;
  const prepared = (text: unknown, values: unknown, ...rest: unknown[]): unknown => {
    if (typeof text !== 'string' || !isPreparable(text) || !Array.isArray(values) || values.length === 0) {
      return query(text, values, ...rest);
    }
    let name = names.get(text);
    if (name === undefined && names.size < PREPARED_STATEMENTS_MAX && text.length <= PREPARED_TEXT_CHARACTERS_MAX) {
      name = sha256Base64url(text);
      names.set(text, name);
    }
    return name === undefined ? query(text, values, ...rest) : query({ name, text, values }, ...rest);
  };
  client.query = prepared as typeof client.query;
}

function isPreparable(text: string): boolean {
  return /^(select|with|insert|update) /.test(text) && !text.includes(' on conflict ');
}
