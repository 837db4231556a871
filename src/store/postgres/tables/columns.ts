import type { ColumnType } from 'kysely';

/** A jsonb column: read as a value, written as JSON text. */
export type Json<Value> = ColumnType<Value, string, string>;
/** A column the database fills with its own clock. */
export type Stamped = ColumnType<Date, Date | undefined, Date>;
