import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, isAbsolute, join, resolve } from 'node:path';

/**
 * The absolute path of a program, found as a shell would but without one: what was registered and shown is what runs,
 * also when PATH changes later. Throws with the places that were searched.
 */
export function resolveCommand(command: string, cwd: string, path: string): string {
  if (command === '') throw new Error('The command of the tool server is empty. Name a program, for example "node".');
  if (command.includes('/') || isAbsolute(command)) {
    const file = resolve(cwd, command);
    if (isExecutable(file)) return file;
    throw new Error(`The command of the tool server, ${file}, is not an executable file.`);
  }
  for (const folder of path.split(delimiter)) {
    if (!isAbsolute(folder)) continue;
    const file = join(folder, command);
    if (isExecutable(file)) return file;
  }
  throw new Error(`The command of the tool server, "${command}", is not in PATH (${path}). Give its absolute path.`);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** Only the named variables and PATH: the environment of the gateway holds secrets that are none of the tool's business. */
export function pickEnvironment(
  names: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const picked: Record<string, string> = {};
  if (environment.PATH !== undefined) picked.PATH = environment.PATH;
  for (const name of names) {
    const value = environment[name];
    if (value === undefined) {
      throw new Error(
        `The tool server is to get the environment variable ${name}, which is not set. Set it or unlist it.`,
      );
    }
    picked[name] = value;
  }
  return picked;
}
