import { chmod, mkdir, open, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createGateway, type Gateway } from '../gateway/index.ts';
import type { UpstreamConfig } from '../gateway/upstream_config.ts';
import {
  createGuard,
  type Guard,
  type GuardKey,
  type GuardOptions,
  generateGuardKey,
  type RegistrationAnswer,
} from '../guard/index.ts';
import { createLogger } from '../kernel/log.ts';
import type { Logger } from '../kernel/logger.ts';
import { type Listening, listen } from '../server/listen.ts';
import { webHandler } from '../server/web_handler.ts';
import { RISK_CLASSES, type RiskClass } from '../wire/manifest.ts';
import { CommandError } from './command_error.ts';
import { freePort } from './free_port.ts';
import { untilSignal } from './until_signal.ts';

export interface GatewayCommand {
  readonly issuer: string;
  readonly name: string;
  readonly port: number;
  readonly host: string;
  readonly resource?: string;
  readonly keyFile?: string;
  readonly url?: string;
  readonly header: readonly string[];
  readonly env: readonly string[];
  readonly cwd?: string;
  readonly risk: readonly string[];
  readonly json?: boolean;
}

const PATH = '/mcp';
/** By then a server that runs has answered. */
const UNREACHABLE_HINT_MS = 5_000;
/** For calls that need no approval and run when the gateway is asked to end. */
const QUIET_MS_MAX = 5_000;

/** Puts the guard before an MCP server that nobody changed, until a signal ends it: `countersign gateway`. */
export async function gateway(options: GatewayCommand, command: readonly string[]): Promise<void> {
  const log = createLogger({ level: 'warn', name: 'countersign-gateway' });
  const ended = untilSignal();
  const upstream = readUpstream(options, command);
  for (const entry of options.risk) readRisk(entry);
  const key = await readKey(options.keyFile ?? `.countersign/gateway-${options.name}.key.json`);
  const inner = explained(() => createGateway({ upstream, log }));
  const parts: Parts = { inner };
  try {
    const serving = serve(options, key, parts, log);
    // Also while the issuer or the MCP server is waited for, a signal ends it.
    await Promise.race([ended, serving.then(() => ended)]);
  } finally {
    // Who waits for a person is told to come again; what runs comes to its end, or is failed, which is an answer as well.
    parts.listening?.stopAccepting();
    await parts.guard?.close();
    await parts.listening?.quiet(QUIET_MS_MAX);
    await inner.close();
    await parts.listening?.close();
  }
  process.exit(0);
}

interface Parts {
  readonly inner: Gateway;
  guard?: Guard;
  listening?: Listening;
}

/** Starts everything and announces it, once the issuer knows this gateway. */
async function serve(options: GatewayCommand, key: GuardKey, parts: Parts, log: Logger): Promise<void> {
  const { inner } = parts;
  const tools = await inner.tools().catch((error: unknown) => {
    throw new CommandError(`The MCP server could not be started: ${(error as Error).message}`);
  });
  const port = options.port === 0 ? await freePort() : options.port;
  const resource = options.resource ?? `http://localhost:${port}${PATH}`;
  const names = tools.map((tool) => tool.name);
  let known: RegistrationAnswer | undefined;
  const { promise: announced, resolve: announce } = Promise.withResolvers<RegistrationAnswer>();
  const guardOptions: GuardOptions = {
    issuer: options.issuer,
    resource,
    key,
    name: options.name,
    deployment: inner.deployment,
    proposedRisks: readRisks(options.risk, names),
    tools: () => inner.tools(),
    logger: log,
    onRegistration: (found) => {
      const isNews = known !== undefined && known.state !== found.state;
      known = found;
      announce(found);
      if (isNews && !options.json) process.stdout.write(describeChange(found, options.name));
    },
  };
  const guard = await createGuard(guardOptions).catch((error: unknown) => {
    throw error instanceof TypeError ? new CommandError(error.message) : error;
  });
  parts.guard = guard;
  inner.onManifest(() => guard.toolsChanged());
  const { fetch } = guard.protect(inner.fetch);
  parts.listening = await listen(webHandler(fetch), {
    host: options.host,
    port,
    setting: '--port',
    log,
  });
  const hint = setTimeout(() => process.stderr.write(unreachable(options.issuer)), UNREACHABLE_HINT_MS);
  const { state, tool_server, console_url } = await announced;
  clearTimeout(hint);
  const ready = { resource, state, tool_server, console_url, tools: tools.length, pid: process.pid };
  process.stdout.write(options.json ? `${JSON.stringify(ready)}\n` : describe(ready, options.name));
}

/** What is wrong with the options is for the person at the terminal, not a bug. */
function explained<Value>(make: () => Value): Value {
  try {
    return make();
  } catch (error) {
    throw new CommandError((error as Error).message);
  }
}

function unreachable(issuer: string): string {
  return (
    `The server ${issuer} has not answered yet. Does it run, and is that its address? On this machine, start it with\n` +
    '  countersign dev\nThis gateway goes on trying; until then it refuses every call. Stop it with Ctrl-C.\n'
  );
}

function readUpstream(options: GatewayCommand, command: readonly string[]): UpstreamConfig {
  const [program, ...args] = command;
  if (options.url !== undefined && program !== undefined) {
    throw new CommandError('Give either --url for an HTTP server or a command after --, not both.');
  }
  if (options.url !== undefined) {
    const headers: Record<string, string> = {};
    for (const header of options.header) {
      const colon = header.indexOf(':');
      if (colon < 1) throw new CommandError(`"${header}" is no header. Write --header "Name: value".`);
      headers[header.slice(0, colon).trim()] = header.slice(colon + 1).trim();
    }
    return { kind: 'http', url: options.url, headers };
  }
  if (program === undefined) {
    throw new CommandError(
      'Say which MCP server to put behind the gateway: a command after --, for example\n' +
        '  countersign gateway --issuer http://localhost:9400 --name files -- npx -y @modelcontextprotocol/server-filesystem .\n' +
        'or an HTTP server with --url.',
    );
  }
  return {
    kind: 'stdio',
    command: program,
    args,
    env_names: options.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  };
}

/** `--risk write=write_file,edit_*`: proposals that the tool server's owner accepts or changes. */
function readRisks(given: readonly string[], tools: readonly string[]): Record<string, RiskClass> {
  const risks: Record<string, RiskClass> = {};
  for (const { risk, patterns } of given.map(readRisk)) {
    for (const pattern of patterns) {
      const words = pattern.split('*');
      const matching = tools.filter((tool) => matches(tool, words));
      if (matching.length === 0)
        throw new CommandError(`The server lists no tool "${pattern}". It lists: ${tools.join(', ')}.`);
      for (const tool of matching) risks[tool] = risk;
    }
  }
  return risks;
}

function readRisk(entry: string): { risk: RiskClass; patterns: string[] } {
  const [given = '', patterns = '', ...rest] = entry.split('=');
  const risk = RISK_CLASSES.find((known) => known === given);
  if (risk !== undefined && patterns !== '' && rest.length === 0) return { risk, patterns: patterns.split(',') };
  throw new CommandError(
    `--risk "${entry}" names no class. Write read=name,name or write=… or critical=… ; * stands for any letters.`,
  );
}

function matches(tool: string, words: readonly string[]): boolean {
  const [first = '', ...rest] = words;
  if (rest.length === 0) return tool === first;
  const last = rest.at(-1)!;
  return tool.length >= first.length + last.length && tool.startsWith(first) && tool.endsWith(last);
}

/** The gateway's identity, made on first use. Whoever has it can be this gateway. */
async function readKey(path: string): Promise<GuardKey> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  try {
    const file = await open(path, 'wx', 0o600);
    await file.writeFile(`${JSON.stringify(await generateGuardKey())}\n`);
    await file.close();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw new CommandError(`The key file ${path} cannot be written: ${(error as Error).message}`);
    }
  }
  if (((await stat(path)).mode & 0o077) !== 0) await chmod(path, 0o600);
  try {
    return JSON.parse(await readFile(path, 'utf8')) as GuardKey;
  } catch {
    throw new CommandError(
      `The key file ${path} is not JSON. Remove it to make a new key; the tool server must then be accepted anew.`,
    );
  }
}

interface Ready {
  readonly resource: string;
  readonly state: string;
  readonly console_url: string;
  readonly tools: number;
}

function describe(ready: Ready, name: string): string {
  const lines = ['', `The gateway "${name}" guards ${ready.tools} tools at ${ready.resource}`];
  if (ready.state === 'pending') {
    lines.push(
      '',
      '  It is not accepted yet, and nothing runs until an administrator accepts it here:',
      `    ${ready.console_url}`,
    );
  }
  return `${lines.join('\n')}\n\n`;
}

function describeChange(found: RegistrationAnswer, name: string): string {
  return found.state === 'active'
    ? `The gateway "${name}" was accepted. Clients can connect.\n`
    : `The gateway "${name}" is ${found.state} now.\n`;
}
