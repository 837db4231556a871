import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Config, parseConfig } from '../config.ts';
import { CommandError } from './command_error.ts';

const DEFAULT_FILE = 'config/countersign.yaml';

/**
 * The configuration from a file (`config/countersign.yaml` if it is there), the environment and the command line.
 * `defaults` stand in for what none of them says.
 */
export function loadConfig(options: {
  readonly file?: string | undefined;
  readonly overrides: Readonly<Record<string, unknown>>;
}): Config {
  const file = options.file ?? process.env.COUNTERSIGN_CONFIG;
  if (file !== undefined && !existsSync(file)) throw new CommandError(`There is no configuration file ${file}.`);
  const path = file ?? (existsSync(DEFAULT_FILE) ? DEFAULT_FILE : undefined);
  const parsed = parseConfig({
    ...(path === undefined ? {} : { path, text: readText(path) }),
    environment: process.env,
    overrides: options.overrides,
  });
  if (parsed.ok) return parsed.value;
  const lines = parsed.refusal.map(({ place, message }) => `  ${place}: ${message}`);
  throw new CommandError(
    `The configuration cannot be used${path === undefined ? '' : ` (${path})`}:\n${lines.join('\n')}`,
  );
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new CommandError(`The configuration file ${path} cannot be read: ${(error as Error).message}`);
  }
}

/** The policies that come with the package, for a working directory that has none. */
export function packagedPolicies(): string {
  return fileURLToPath(new URL('../../config/policies', import.meta.url));
}
