import type { Config } from '../config.ts';
import { openEmbeddedFoundation } from './embedded_foundation.ts';
import { openExistingFoundation } from './existing_foundation.ts';
import type { Foundation, FoundationOptions } from './foundation.ts';

/** The embedded stores, or those that exist already where the configuration names a database. */
export function openFoundation(config: Config, options: FoundationOptions): Promise<Foundation> {
  return config.database.url === null
    ? openEmbeddedFoundation(config, options)
    : openExistingFoundation(config, config.database.url, options);
}
