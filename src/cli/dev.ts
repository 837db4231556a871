import { existsSync } from 'node:fs';
import type { Config } from '../config.ts';
import { createLogger } from '../kernel/log.ts';
import { hasAdministrator } from '../people/administrator.ts';
import { makeLink } from '../people/make_link.ts';
import { SET_UP_LINK_SECONDS, SIGN_IN_LINK_SECONDS } from '../server/limits.ts';
import { type RunningServer, startServer } from '../server/start.ts';
import type { Store } from '../store/store.ts';
import { CommandError } from './command_error.ts';
import { freePort } from './free_port.ts';
import { loadConfig, packagedPolicies } from './load_config.ts';
import { untilSignal } from './until_signal.ts';

export { freePort } from './free_port.ts';

export interface DevOptions {
  readonly port?: number;
  readonly dataDir?: string;
  readonly singleOperator?: boolean;
  readonly config?: string;
  readonly policies?: string;
  readonly json?: boolean;
}

/** What a start tells: where it is and how the first person gets in. */
export interface DevAnnouncement {
  readonly issuer: string;
  readonly console: string;
  /** Works once, for the first administrator; null when there is one. */
  readonly set_up_link: string | null;
  /** Works once, for the administrator of a development server who has no passkey; null otherwise. */
  readonly sign_in_link: string | null;
  readonly verifier_key: string;
  readonly pid: number;
}

const LOST_ADVICE =
  'This server ends, since nothing can be decided without its database. What was acknowledged is on disk: start it again\n' +
  'to go on. Why PostgreSQL ended is in postgres/postgres.log in the data directory.';

/** Tool servers and metadata documents of clients here, which a server in production does not fetch. */
const THIS_MACHINE = ['localhost:*', '127.0.0.1:*', '[::1]:*'];

/** Runs a development server until a signal ends it: `countersign dev`. */
export async function dev(options: DevOptions): Promise<void> {
  const config = await devConfig(options);
  if (config.database.url !== null) {
    throw new CommandError(
      'The configuration names database.url, and a development server would change what is there: it brings its own PostgreSQL. ' +
        'Run `countersign serve`, or take COUNTERSIGN_CONFIG and COUNTERSIGN_DATABASE__URL out of the environment.',
    );
  }
  const isLevelGiven = process.env.COUNTERSIGN_LOG_LEVEL !== undefined;
  const log = createLogger({ level: isLevelGiven ? config.log_level : 'warn', name: 'countersign' });
  const ended = untilSignal();
  const server = await startServer({
    config,
    log,
    onLost: (error) => {
      process.stderr.write(`${error.message}.\n${LOST_ADVICE}\n`);
      process.exit(1);
    },
  });
  const announcement = await announce(server, config);
  process.stdout.write(options.json ? `${JSON.stringify(announcement)}\n` : describe(announcement, config));
  await ended;
  await server.stop();
  process.exit(0);
}

/** The configuration of a development server: on localhost, with packaged policies where there are none. */
export async function devConfig(options: DevOptions): Promise<Config> {
  const port = options.port === 0 ? await freePort() : options.port;
  const policies = options.policies ?? (existsSync('config/policies') ? undefined : packagedPolicies());
  const config = loadConfig({
    file: options.config,
    overrides: {
      ...(port === undefined ? {} : { 'listen.port': port, issuer: `http://localhost:${port}` }),
      ...(existsSync('config/countersign.yaml') || options.config !== undefined || port !== undefined
        ? {}
        : { issuer: 'http://localhost:9400' }),
      data_directory: options.dataDir,
      policies,
      mode: options.singleOperator ? 'single_operator' : undefined,
    },
  });
  return { ...config, fetch_allowed_hosts: [...THIS_MACHINE, ...config.fetch_allowed_hosts] };
}

export async function announce(server: RunningServer, config: Config): Promise<DevAnnouncement> {
  const { store, issuer } = server;
  const isSetUp = await hasAdministrator(store);
  const administrator = isSetUp ? await administratorWithoutPasskey(store, config) : undefined;
  const link = async (kind: 'set_up' | 'sign_in', personId?: string) => {
    const ttlSeconds = kind === 'set_up' ? SET_UP_LINK_SECONDS : SIGN_IN_LINK_SECONDS;
    const who = personId === undefined ? {} : { personId };
    const { token } = await makeLink(store, {
      kind,
      ...who,
      isAdministrator: kind === 'set_up',
      createdBy: null,
      ttlSeconds,
    });
    return `${issuer}/link/${token}`;
  };
  return {
    issuer,
    console: `${issuer}/`,
    set_up_link: isSetUp ? null : await link('set_up'),
    sign_in_link: administrator === undefined ? null : await link('sign_in', administrator),
    verifier_key: server.verifierKey,
    pid: process.pid,
  };
}

/** In single-operator mode, or before a passkey was added, a link is the only way in. */
async function administratorWithoutPasskey(store: Store, config: Config): Promise<string | undefined> {
  const row = await store.db
    .selectFrom('people')
    .leftJoin('passkeys', 'passkeys.person_id', 'people.id')
    .select(['people.id', 'passkeys.credential_id'])
    .where('people.state', '=', 'active')
    .where('people.is_administrator', '=', true)
    .orderBy('people.created_at')
    .limit(1)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  return row.credential_id === null || config.mode === 'single_operator' ? row.id : undefined;
}

function describe(found: DevAnnouncement, config: Config): string {
  const lines = ['', 'Countersign is running (development server).', ''];
  lines.push(`  Issuer    ${found.issuer}`);
  lines.push(`  Console   ${found.console}`);
  lines.push(`  Data      ${config.data_directory}/ (a second start finds it again)`);
  if (config.mode === 'single_operator')
    lines.push('  Mode      single operator: one person may do everything, without a passkey');
  lines.push('');
  if (found.set_up_link !== null) {
    lines.push('  Open this once to become the first administrator:', `    ${found.set_up_link}`, '');
  }
  if (found.sign_in_link !== null) lines.push('  Sign in once with this link:', `    ${found.sign_in_link}`, '');
  lines.push(
    '  Put a tool server behind it:',
    `    npm run countersign -- gateway --issuer ${found.issuer} --name files \\`,
  );
  lines.push('      -- npx -y @modelcontextprotocol/server-filesystem .', '', '  Stop with Ctrl-C.', '');
  return `${lines.join('\n')}\n`;
}
