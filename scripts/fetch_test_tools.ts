import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

// `npm test` runs this first. The tests use a real browser, a real Redis (whose `redis-server --sentinel` is the Sentinel)
// and a real load balancer; they fail rather than skip without them.

interface Tool {
  readonly programs: readonly string[];
  readonly debianPackage: string;
  /** What Homebrew is told to install. */
  readonly homebrew: string;
}

const TOOLS: readonly Tool[] = [
  {
    programs: ['chromium', 'chromium-browser', 'google-chrome'],
    debianPackage: 'chromium',
    homebrew: '--cask google-chrome',
  },
  { programs: ['redis-server'], debianPackage: 'redis-server', homebrew: 'redis' },
  { programs: ['haproxy'], debianPackage: 'haproxy', homebrew: 'haproxy' },
];
const APT_TIMEOUT_MS = 10 * 60_000;

function isInstalled(tool: Tool): boolean {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/usr/local/bin', '/usr/sbin'];
  return tool.programs.some((program) => directories.some((directory) => isExecutable(join(directory, program))));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function run(...command: [string, ...string[]]): void {
  console.log(`  ${command.join(' ')}`);
  const [program, ...options] = command;
  const result = spawnSync(program, options, {
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    timeout: APT_TIMEOUT_MS,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  if (result.status === 0) return;
  console.error(result.stderr ?? '');
  giveUp(`The command failed (${result.error?.message ?? `status ${result.status}`}).`);
}

function giveUp(reason: string): never {
  console.error(
    `${reason}\nThe tests need ${packages.join(', ')}. Install what is missing and run \`npm test\` again:`,
  );
  console.error(`  ${installCommand()}`);
  process.exit(1);
}

function installCommand(): string {
  if (process.platform === 'darwin')
    return missing()
      .map((tool) => `brew install ${tool.homebrew}`)
      .join(' && ');
  return `sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages.join(' ')}`;
}

function missing(): readonly Tool[] {
  return TOOLS.filter((tool) => !isInstalled(tool));
}

const packages = missing().map((tool) => tool.debianPackage);
if (packages.length > 0) {
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version'))
    giveUp('Only root on Debian can install them here.');
  console.log(`Installing ${packages.join(', ')} for the tests:`);
  run('apt-get', 'update', '-qq');
  run('apt-get', 'install', '-y', '-qq', '--no-install-recommends', ...packages);
  const absent = missing().map((tool) => tool.debianPackage);
  if (absent.length > 0) giveUp(`apt-get succeeded, but ${absent.join(', ')} cannot be found.`);
}
