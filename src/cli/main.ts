#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { API_TOKEN_SCOPES } from '../model/api_token.ts';
import { addAgentsCommands } from './agents_commands.ts';
import { CommandError } from './command_error.ts';

// Each command is loaded when it is run: help and a mistyped option answer at once, and a gateway holds no server code.

const program = new Command('countersign')
  .version(packageVersion(), '-v, --version', 'print the version')
  .description(
    'MCP step-up authorization: pauses a risky tool call, shows a person exactly what would run, and lets it run once\n' +
      'when the right people approve.',
  )
  .addHelpText(
    'after',
    `
Start here:
  countersign dev                        run a server on this machine, data in .countersign/
  countersign gateway --issuer http://localhost:9400 --name files -- npx -y @modelcontextprotocol/server-filesystem .
                                         put the guard before an MCP server that nobody changed`,
  );

const example = (...lines: string[]) => `\nExample:\n${lines.map((line) => `  ${line}`).join('\n')}`;
const collect = (value: string, before: string[] = []) => [...before, value];
const PORT_MAX = 65_535;
const port = (value: string) => {
  if (/^\d{1,5}$/.test(value) && Number(value) <= PORT_MAX) return Number(value);
  throw new InvalidArgumentError(`A port is a number from 0 to ${PORT_MAX}.`);
};
const days = (value: string) => {
  if (/^\d{1,3}$/.test(value) && Number(value) > 0) return Number(value);
  throw new InvalidArgumentError('Days are a number from 1 on.');
};
const position = (value: string) => {
  if (/^\d{1,15}$/.test(value)) return Number(value);
  throw new InvalidArgumentError('A position is a number, as in the lines of an export.');
};

program
  .command('dev')
  .description('run a development server on localhost')
  .option('--port <number>', 'port to listen on; 0 takes a free one (default: 9400)', port)
  .option('--data-dir <folder>', 'where the database and the keys are (default: .countersign)')
  .option('--single-operator', 'one person may do everything, without a passkey; shown on every page')
  .option('--config <file>', 'configuration (default: config/countersign.yaml if it is there)')
  .option('--policies <folder>', 'Cedar policies (default: config/policies, or those of the package)')
  .option('--json', 'print one JSON line when ready, for scripts')
  .addHelpText(
    'after',
    example(
      'countersign dev --port 9400 --data-dir ./data',
      'countersign dev --single-operator    to try things out alone',
    ),
  )
  .action(async (options) => (await import('./dev.ts')).dev(options));

program
  .command('serve')
  .description('run one of any number of servers on an existing PostgreSQL, and Redis')
  .option('--config <file>', 'configuration (default: config/countersign.yaml if it is there)')
  .option('--port <number>', 'port to listen on (default: listen.port)', port)
  .option('--policies <folder>', 'Cedar policies (default: policies of the configuration)')
  .option('--json', 'print one JSON line when ready, for scripts')
  .addHelpText(
    'after',
    example('countersign migrate --config countersign.yaml && countersign serve --config countersign.yaml'),
  )
  .action(async (options) => (await import('./serve.ts')).serve(options));

program
  .command('migrate')
  .description('bring the schema of an existing PostgreSQL to this release; servers of the release before may go on')
  .option('--config <file>', 'configuration (default: config/countersign.yaml if it is there)')
  .addHelpText('after', example('countersign migrate --config countersign.yaml'))
  .action(async (options) => (await import('./migrate.ts')).migrateCommand(options));

program
  .command('set-up-link')
  .description('print the link that makes the first administrator, for `countersign serve`; it works once')
  .option('--config <file>', 'configuration (default: config/countersign.yaml if it is there)')
  .addHelpText('after', example('countersign set-up-link --config countersign.yaml'))
  .action(async (options) => (await import('./set_up_link.ts')).setUpLinkCommand(options));

program
  .command('gateway')
  .description('guard an MCP server that nobody changed, over stdio or Streamable HTTP')
  .requiredOption('--issuer <url>', 'the Countersign server')
  .requiredOption('--name <name>', 'short name of the tool server: a-z, 0-9 and -')
  .option('--port <number>', 'port to listen on', port, 9500)
  .option('--host <address>', 'address to bind', '127.0.0.1')
  .option('--resource <url>', 'address clients use (default: http://localhost:<port>/mcp)')
  .option(
    '--key-file <file>',
    "the gateway's private key, made if missing (default: .countersign/gateway-<name>.key.json)",
  )
  .option('--url <url>', 'the MCP server, if it speaks Streamable HTTP')
  .option('--header <header>', 'header for the HTTP server, "Name: value"; may be repeated', collect, [])
  .option('--env <name>', 'environment variable the program may see; may be repeated', collect, [])
  .option('--cwd <folder>', 'working directory of the program')
  .option(
    '--risk <class=tools>',
    'propose a class: read=list_*,read_* write=write_* critical=…; may be repeated',
    collect,
    [],
  )
  .option('--json', 'print one JSON line when ready, for scripts')
  .argument('[command...]', 'the program and its arguments, after --')
  .addHelpText(
    'after',
    example(
      'countersign gateway --issuer http://localhost:9400 --name files --risk read=read_*,list_* --risk write=write_file \\',
      '  -- npx -y @modelcontextprotocol/server-filesystem .',
      'countersign gateway --issuer https://approve.example --name crm --resource https://crm.example/mcp --url http://10.0.0.7/mcp',
    ),
  )
  .action(async (command: string[], options) => (await import('./gateway.ts')).gateway(options, command));

const keys = program
  .command('keys')
  .description(
    'list and change the keys of an installation: on database.url while servers run, or in a data directory',
  );
keys
  .command('list')
  .description('every key: what it is for, what it does now, since when and until when')
  .option('--data-dir <folder>', 'data directory of a stopped server (default: .countersign)')
  .option('--config <file>', 'configuration')
  .option('--json', 'print JSON')
  .addHelpText('after', example('countersign keys list --config countersign.yaml'))
  .action(async (options) => (await import('./keys.ts')).keysList(options));
keys
  .command('rotate')
  .description(
    'publish a new key now; it signs after keys.publish_seconds, and what the old one signed goes on to verify',
  )
  .argument('[purpose...]', 'token, lease, cookie, checkpoint (default: the first three)')
  .option('--data-dir <folder>', 'data directory of a stopped server (default: .countersign)')
  .option('--config <file>', 'configuration')
  .option('--json', 'print JSON')
  .addHelpText('after', example('countersign keys rotate', 'countersign keys rotate checkpoint'))
  .action(async (purposes: string[], options) => (await import('./keys.ts')).keysRotate(purposes, options));
keys
  .command('retire')
  .description('end one key as a rotation would; with --now, because it leaked, at once')
  .argument('<kid>', 'the id, from: countersign keys list')
  .option('--now', 'what the key signed is refused from this moment on; another key signs at once')
  .option('--data-dir <folder>', 'data directory of a stopped server (default: .countersign)')
  .option('--config <file>', 'configuration')
  .option('--json', 'print JSON')
  .addHelpText('after', example('countersign keys retire --now 8wQ2…'))
  .action(async (kid: string, options) => (await import('./keys.ts')).keysRetire(kid, options));
keys
  .command('rewrap')
  .description('seal everything anew with the root key; needs root_key_previous_file as well, and can be repeated')
  .option('--data-dir <folder>', 'data directory of a stopped server (default: .countersign)')
  .option('--config <file>', 'configuration')
  .addHelpText(
    'after',
    `
To change the root key while servers run:
  1. Give all servers both: the new key as root_key_previous_file. Restart them one by one.
  2. Exchange the two in the configuration of all servers. Restart them one by one.
  3. countersign keys rewrap
  4. Remove root_key_previous_file from all servers when rewrap says that nothing is left. Restart them.
A single server can start with step 2.`,
  )
  .action(async (options) => (await import('./keys_rewrap.ts')).keysRewrap(options));

program
  .command('trace')
  .description('who acted for whom in a task, and everything that happened in it, in order')
  .argument('<task>', 'the id: tsk_…')
  .option('--url <url>', 'the Countersign server (default: COUNTERSIGN_URL)')
  .option('--token-file <file>', 'holds an API token with tasks:read (default: COUNTERSIGN_API_TOKEN)')
  .option('--json', 'print JSON')
  .addHelpText('after', example('countersign trace tsk_… --url https://approve.example --token-file trace.token'))
  .action(async (task: string, options) => (await import('./trace.ts')).trace(task, options));

const tokens = program
  .command('tokens')
  .description('API tokens for machines that administer: a directory, a pipeline. None of them approves anything');
tokens
  .command('make')
  .description('make a token and print it, this once')
  .argument('<name>', 'what it is for, as people will read it')
  .requiredOption('--scope <scope>', `what it may do, may be repeated: ${API_TOKEN_SCOPES.join(', ')}`, collect)
  .option('--for <person>', 'who answers for it, by name or id; needed with agents:write and tasks:write')
  .option('--days <number>', 'how long it works', days, 90)
  .option('--data-dir <folder>', 'data directory of a stopped server (default: .countersign)')
  .option('--config <file>', 'configuration')
  .option('--json', 'print JSON')
  .addHelpText(
    'after',
    example(
      'countersign tokens make "Entra ID" --scope scim --days 180 --config countersign.yaml > scim.token',
      'countersign tokens make "Pipeline" --scope agents:write --for "Grace Hopper" --config countersign.yaml > agents.token',
    ),
  )
  .action(async (name: string, options) => (await import('./tokens.ts')).tokensMake(name, options));
tokens
  .command('list')
  .description('every token: what it may do, until when, when it was last used')
  .option('--data-dir <folder>', 'data directory of a stopped server (default: .countersign)')
  .option('--config <file>', 'configuration')
  .option('--json', 'print JSON')
  .action(async (options) => (await import('./tokens.ts')).tokensList(options));
tokens
  .command('revoke')
  .description('end a token at once')
  .argument('<id>', 'the id, from: countersign tokens list')
  .option('--data-dir <folder>', 'data directory of a stopped server (default: .countersign)')
  .option('--config <file>', 'configuration')
  .option('--json', 'print JSON')
  .action(async (id: string, options) => (await import('./tokens.ts')).tokensRevoke(id, options));

addAgentsCommands(program, example);

const audit = program.command('audit').description('export and verify the audit log');
audit
  .command('export')
  .description('write the sealed log to standard output: of database.url, or of a stopped server')
  .option('--data-dir <folder>', 'data directory of a stopped server (default: .countersign)')
  .option('--config <file>', 'configuration')
  .option('--since <position>', 'leave out what comes before the last checkpoint at this position', position)
  .addHelpText(
    'after',
    example(
      'countersign audit export --config countersign.yaml > audit.jsonl',
      'countersign audit export --config countersign.yaml --since 120000 > newer.jsonl',
      'countersign audit export --data-dir ./data > audit.jsonl',
    ),
  )
  .action(async (options) => (await import('./audit_export.ts')).auditExport(options));
audit
  .command('verify')
  .description('verify an export offline: every event, every checkpoint')
  .argument('<files...>', 'the export, or exports that continue each other, the oldest first; - for standard input')
  .requiredOption(
    '--key <vkey>',
    "the server's verifier key, from its start or its audit page; may be repeated: older and newer ones",
    collect,
  )
  .option('--checkpoint <file>', 'a checkpoint kept from earlier, to notice events cut off at the end')
  .addHelpText(
    'after',
    example(
      'countersign audit verify audit.jsonl --key localhost:9400+1f2e3d4c+AbCd…',
      'countersign audit verify 2025.jsonl 2026.jsonl --key localhost:9400+1f2e3d4c+AbCd…',
    ),
  )
  .action(async (files: string[], options) => (await import('./audit_verify.ts')).auditVerify(files, options));

function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

program.parseAsync().catch(async (error: unknown) => {
  const message = error instanceof CommandError ? error.message : (await import('./fail.ts')).explainFailure(error);
  process.stderr.write(`${message}\n`);
  process.exit(1);
});
