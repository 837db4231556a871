import pg from 'pg';

// Type ids of PostgreSQL's catalogue (pg_type.dat); they never change.
const INT8 = 20;
const INT8_ARRAY = 1016;
const TIMESTAMPTZ = 1184;

/** The parser of a column's type: as in `pg`, but a value JavaScript cannot hold exactly throws instead of changing. */
export function parserOf(type: number, format?: 'text' | 'binary'): (value: never) => unknown {
  const fallback = pg.types.getTypeParser(type, format ?? 'text') as (value: string) => unknown;
  if (format === 'binary') return fallback as (value: never) => unknown;
  if (type === INT8) return safeInteger as (value: never) => unknown;
  if (type === INT8_ARRAY) return (value: string) => (fallback(value) as string[]).map(safeInteger);
  if (type === TIMESTAMPTZ) return (value: string) => finiteDate(value, fallback(value));
  return fallback as (value: never) => unknown;
}

function safeInteger(value: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new RangeError(`bigint ${value} from the database is not a safe integer`);
  return number;
}

function finiteDate(text: string, value: unknown): Date {
  if (!(value instanceof Date)) throw new RangeError(`timestamp ${text} from the database is not a point in time`);
  return value;
}
