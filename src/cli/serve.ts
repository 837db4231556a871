import { createLogger } from '../kernel/log.ts';
import { startServer } from '../server/start.ts';
import { CommandError } from './command_error.ts';
import { announce } from './dev.ts';
import { loadConfig } from './load_config.ts';
import { untilSignal } from './until_signal.ts';

export interface ServeOptions {
  readonly config?: string;
  readonly port?: number;
  readonly policies?: string;
  readonly json?: boolean;
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
  const server = await startServer({ config, log });
  const announcement = await announce(server, config);
  process.stdout.write(options.json ? `${JSON.stringify(announcement)}\n` : `Countersign serves ${server.issuer}\n`);
  await ended;
  await server.stop();
  process.exit(0);
}
