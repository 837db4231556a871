import { ListenError } from '../server/listen.ts';
import { PolicyError } from '../server/policy.ts';
import { EmbeddedPostgresError } from '../store/postgres/embedded/failure.ts';
import { SchemaNewerError } from '../store/postgres/migrate.ts';
import { RootKeyError } from '../store/root_key.ts';

/** Something the person at the terminal can mend; shown as it is, without a stack. */
export class CommandError extends Error {
  override name = 'CommandError';
}

const EXPECTED = [CommandError, EmbeddedPostgresError, SchemaNewerError, RootKeyError, PolicyError, ListenError];

/** Prints what went wrong on standard error: the message of an expected failure, the whole of a bug. */
export function explainFailure(error: unknown): string {
  if (EXPECTED.some((kind) => error instanceof kind)) return (error as Error).message;
  if (error instanceof Error) return `${error.stack ?? error.message}\nThis is a bug in Countersign.`;
  return String(error);
}
