import { createLogger } from '../kernel/log.ts';
import { hasAdministrator } from '../people/administrator.ts';
import { makeLink } from '../people/make_link.ts';
import { openExistingFoundation } from '../server/existing_foundation.ts';
import { SET_UP_LINK_SECONDS } from '../server/limits.ts';
import type { Store } from '../store/store.ts';
import { CommandError } from './command_error.ts';
import { loadConfig } from './load_config.ts';

/**
 * Prints the link that makes the first administrator, once and to whoever asks at the machine: the log of a server is read
 * by many, and that of every node would hold one. `countersign set-up-link`.
 */
export async function setUpLinkCommand(options: { readonly config?: string }): Promise<void> {
  const config = loadConfig({ file: options.config, overrides: {} });
  const { url } = config.database;
  if (url === null) {
    throw new CommandError(
      'There is no database.url in the configuration (or COUNTERSIGN_DATABASE__URL in the environment). `countersign dev` ' +
        'prints the link itself when it starts.',
    );
  }
  const log = createLogger({ level: config.log_level, name: 'countersign' });
  const foundation = await openExistingFoundation(config, url, { log, onLost: () => {} });
  try {
    const link = await setUpLink(foundation.store);
    if (link === null) {
      throw new CommandError(
        'There is an administrator already, who invites others on the page People. No link was made.',
      );
    }
    process.stdout.write(`${link}\n`);
  } finally {
    await foundation.stop();
  }
}

/** Works once; null when there is an administrator, who invites the others. */
export async function setUpLink(store: Store): Promise<string | null> {
  if (await hasAdministrator(store)) return null;
  const link = { kind: 'set_up', isAdministrator: true, createdBy: null, ttlSeconds: SET_UP_LINK_SECONDS } as const;
  const { token } = await makeLink(store, link);
  return `${store.issuer}/link/${token}`;
}
