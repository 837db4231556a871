import { WebhookConfigError } from '../approvals/channels/webhook/config.ts';
import { ListenError } from '../server/listen.ts';
import { PolicyError } from '../server/policy.ts';
import { StoreAbsentError } from '../server/until_there.ts';
import { EmbeddedPostgresError } from '../store/postgres/embedded/failure.ts';
import { MigrationError } from '../store/postgres/migrate.ts';
import { DatabaseUrlError } from '../store/postgres/open.ts';
import { isDatabaseOutage } from '../store/postgres/outage.ts';
import { DatabaseUnfitError } from '../store/postgres/primary.ts';
import { SchemaNewerError, SchemaOlderError } from '../store/postgres/schema_version.ts';
import { RedisPolicyError } from '../store/redis/errors.ts';
import { RedisSettingsError } from '../store/redis/settings.ts';
import { RootKeyError } from '../store/root_key.ts';

const EXPECTED = [
  DatabaseUrlError,
  DatabaseUnfitError,
  MigrationError,
  EmbeddedPostgresError,
  SchemaNewerError,
  SchemaOlderError,
  RootKeyError,
  RedisSettingsError,
  RedisPolicyError,
  PolicyError,
  ListenError,
  StoreAbsentError,
  WebhookConfigError,
];

/** What to print of a failure that no command put into words itself: the message of an expected one, the whole of a bug. */
export function explainFailure(error: unknown): string {
  if (EXPECTED.some((kind) => error instanceof kind)) return (error as Error).message;
  if (isDatabaseOutage(error)) {
    return (
      `PostgreSQL cannot be used: ${(error as Error).message || (error as { code?: string }).code}. Check that it runs, ` +
      'and that database.url names its address, a user with a password it takes, and a database.'
    );
  }
  if (error instanceof Error) return `${error.stack ?? error.message}\nThis is a bug in Countersign.`;
  return String(error);
}
