import { WebhookConfigError } from '../approvals/channels/webhook/config.ts';
import { VaultError } from '../kernel/vault.ts';
import { ClientSecretError } from '../server/client_secrets.ts';
import { ListenError } from '../server/listen.ts';
import { PolicyError } from '../server/policy.ts';
import { StoreAbsentError } from '../server/until_there.ts';
import { UpstreamConfigError } from '../server/upstream.ts';
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
  ClientSecretError,
  WebhookConfigError,
  UpstreamConfigError,
];

// `pg` gives it no class and no code (pg/lib/crypto/sasl.js).
const NO_PASSWORD = /^SASL: .*client password must be a (non-empty )?string$/;

/** What to print of a failure that no command put into words itself: the message of an expected one, the whole of a bug. */
export function explainFailure(error: unknown): string {
  if (EXPECTED.some((kind) => error instanceof kind)) return (error as Error).message;
  if (error instanceof VaultError) {
    return (
      `What this database holds cannot be decrypted. ${error.message} All servers and commands of an installation need the same ` +
      'root key: see root_key_file (or COUNTERSIGN_ROOT_KEY_FILE), and restore the file from your backup if it was replaced.'
    );
  }
  if (error instanceof Error && NO_PASSWORD.test(error.message)) {
    return (
      'PostgreSQL asks for a password, and there is none. Set PGPASSWORD or PGPASSFILE in the environment of this command, as ' +
      'for the servers, or put the password into database.url.'
    );
  }
  if (isDatabaseOutage(error)) {
    return (
      `PostgreSQL cannot be used: ${(error as Error).message || (error as { code?: string }).code}. Check that it runs, ` +
      'and that database.url names its address, a user with a password it takes, and a database.'
    );
  }
  if (error instanceof Error) return `${error.stack ?? error.message}\nThis is a bug in Countersign.`;
  return String(error);
}
