import { createLogger } from '../kernel/log.ts';
import { hasAdministrator } from '../people/administrator.ts';
import { type RunningServer, startServer } from '../server/start.ts';
import { CommandError } from './command_error.ts';
import { loadConfig } from './load_config.ts';
import { setUpLink } from './set_up_link.ts';
import { untilSignal } from './until_signal.ts';

export interface ServeOptions {
  readonly config?: string;
  readonly port?: number;
  readonly policies?: string;
  readonly json?: boolean;
}

/** What a script is told; nobody signs in by a link that a server printed, so `sign_in_link` is always null. */
interface ServeAnnouncement {
  readonly issuer: string;
  readonly console: string;
  readonly port: number;
  /** Works once, while there is no administrator. */
  readonly set_up_link: string | null;
  readonly sign_in_link: null;
  readonly verifier_key: string;
  readonly pid: number;
}

/** Runs one server of many on stores that exist already, until a signal ends it: `countersign serve`. */
export async function serve(options: ServeOptions): Promise<void> {
  const config = loadConfig({
    file: options.config,
    overrides: { 'listen.port': options.port, policies: options.policies },
  });
  if (config.database.url === null) {
    throw new CommandError(
      'There is no database.url in the configuration (or COUNTERSIGN_DATABASE__URL in the environment). `countersign serve` ' +
        'runs on a PostgreSQL that exists already; `countersign dev` brings its own.',
    );
  }
  const log = createLogger({ level: config.log_level, name: 'countersign' });
  const ended = untilSignal();
  const starting = startServer({ config, log });
  // A start that waits for its stores can be called off; what it opened ends with the process.
  const server = await Promise.race([starting, ended.then(() => null)]);
  if (server === null) process.exit(0);
  process.stdout.write(options.json ? `${JSON.stringify(await announcement(server))}\n` : await description(server));
  await ended;
  await server.stop();
  process.exit(0);
}

async function announcement(server: RunningServer): Promise<ServeAnnouncement> {
  const { issuer, port, store, verifierKey } = server;
  return {
    issuer,
    console: `${issuer}/`,
    port,
    set_up_link: await setUpLink(store),
    sign_in_link: null,
    verifier_key: verifierKey,
    pid: process.pid,
  };
}

/** Standard output may go to a log that many read, from every node: no link in there. */
async function description({ issuer, port, store, verifierKey }: RunningServer): Promise<string> {
  const lines = [`Countersign serves ${issuer} on port ${port}.`, `Verifier key of the audit log: ${verifierKey}`];
  if (!(await hasAdministrator(store))) {
    lines.push('Nobody administers it yet. Make the link for the first administrator: countersign set-up-link');
  }
  return `${lines.join('\n')}\n`;
}
