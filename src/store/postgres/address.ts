import { readFileSync } from 'node:fs';
import { accepted, type Result, refused } from '../../kernel/result.ts';

/** Where an existing PostgreSQL is, read from `database.url`. What is undefined is taken from PGUSER, PGPASSWORD, ~/.pgpass. */
export interface DatabaseAddress {
  /** A host name, an IP address, or the directory of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user?: string;
  readonly password?: string;
  /** False: not encrypted. Certificate and name are checked unless `rejectUnauthorized` is false. */
  readonly ssl: false | TlsSettings;
}

export interface TlsSettings {
  readonly rejectUnauthorized: boolean;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

const PORT = 5432;
const PORT_MAX = 65_535;
const SSL_FILES = { sslrootcert: 'ca', sslcert: 'cert', sslkey: 'key' } as const;
const PARAMETERS = ['host', 'port', 'sslmode', 'target_session_attrs', ...Object.keys(SSL_FILES)];
/** What every connection is checked for anyway. */
const SESSION_ATTRIBUTES = ['read-write', 'primary'];
const ONE_ADDRESS =
  'Name one address that always leads to the primary (a virtual IP, a DNS name, HAProxy): the server reconnects to ' +
  'it by itself after a failover, and uses no standby it finds there';

/**
 * Reads the address. Parameters we do not know are refused: `options` or `statement_timeout` in an address would switch
 * off the limits and the durability that each connection asks for. The refusal never repeats the address or a password.
 */
export function parseDatabaseUrl(text: string): Result<DatabaseAddress, string> {
  if (/^[^?]*,/.test(text.replace(/^[^@]*@/, ''))) return refused(`Several hosts cannot be named. ${ONE_ADDRESS}.`);
  // A user before an empty host, as for a socket, is no URL for `URL`.
  const withHost = text.replace(/^(postgres(?:ql)?:\/\/[^/?]*@)(?=[/?])/, '$1localhost');
  if (!URL.canParse(withHost) || !/^postgres(ql)?:$/.test(new URL(withHost).protocol)) {
    return refused(
      'Write it as postgres://user@host:5432/database. Encode what is special in a password: / as %2F, @ as %40.',
    );
  }
  const url = new URL(withHost);
  const parameters = Object.fromEntries(url.searchParams);
  const unknown = Object.keys(parameters).find((name) => !PARAMETERS.includes(name));
  if (unknown !== undefined) {
    return refused(`The parameter "${unknown}" is not supported. Supported: ${PARAMETERS.join(', ')}.`);
  }
  const wanted = parameters.target_session_attrs;
  if (wanted !== undefined && !SESSION_ATTRIBUTES.includes(wanted)) {
    return refused(`target_session_attrs=${wanted} would use a standby. Leave it out: only a primary is ever used.`);
  }
  const host = parameters.host ?? decodeURIComponent(url.hostname.replace(/^\[(.*)\]$/, '$1'));
  const port = Number(parameters.port ?? (url.port === '' ? PORT : url.port));
  const database = decodeURIComponent(url.pathname.slice(1));
  if (host === '' || database === '') return refused('The address names no host, or no database.');
  if (!Number.isInteger(port) || port < 1 || port > PORT_MAX) return refused('The port is no number from 1 to 65535.');
  const ssl = readTls(parameters, host);
  if (!ssl.ok) return ssl;
  return accepted({
    ...{ host, port, database, ssl: ssl.value },
    ...(url.username === '' ? {} : { user: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
  });
}

/**
 * `pg` 8 takes `require` and `verify-ca` for `verify-full`, and its next release will not; here they stay that, and only
 * `no-verify` encrypts without a check. `allow` and `prefer` can be talked out of encryption by anybody in between.
 */
function readTls(parameters: Readonly<Record<string, string>>, host: string): Result<false | TlsSettings, string> {
  const named = Object.keys(SSL_FILES).filter((name) => parameters[name] !== undefined);
  const mode = parameters.sslmode ?? (named.length > 0 ? 'verify-full' : 'disable');
  if (mode === 'disable') {
    return named.length === 0 ? accepted(false) : refused(`sslmode=disable leaves no use for ${named[0]}.`);
  }
  if (host.startsWith('/')) return refused('A Unix socket is not encrypted. Leave sslmode out.');
  if (!['require', 'verify-ca', 'verify-full', 'no-verify'].includes(mode)) {
    return refused(
      `sslmode=${mode} is not supported. Use verify-full, disable, or no-verify (encrypts, checks nothing).`,
    );
  }
  const files: Record<string, string> = {};
  for (const name of named) {
    try {
      files[SSL_FILES[name as keyof typeof SSL_FILES]] = readFileSync(parameters[name]!, 'utf8');
    } catch (error) {
      return refused(`The file of ${name} cannot be read: ${(error as Error).message}.`);
    }
  }
  return accepted({ rejectUnauthorized: mode !== 'no-verify', ...files });
}
