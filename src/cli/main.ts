#!/usr/bin/env node
import { Command, InvalidArgumentError } from 'commander';
import { auditExport, auditVerify } from './audit.ts';
import { dev } from './dev.ts';
import { explainFailure } from './fail.ts';
import { gateway } from './gateway.ts';

const program = new Command('countersign')
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

const collect = (value: string, before: string[]) => [...before, value];
const PORT_MAX = 65_535;
const port = (value: string) => {
  if (/^\d{1,5}$/.test(value) && Number(value) <= PORT_MAX) return Number(value);
  throw new InvalidArgumentError(`A port is a number from 0 to ${PORT_MAX}.`);
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
  .action(dev);

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
  .action((command: string[], options) => gateway(options, command));

const audit = program.command('audit').description('export and verify the audit log');
audit
  .command('export')
  .description('write the sealed log of a stopped server to standard output')
  .option('--data-dir <folder>', 'data directory (default: .countersign)')
  .option('--config <file>', 'configuration')
  .action(auditExport);
audit
  .command('verify')
  .description('verify an export offline: every event, every checkpoint')
  .argument('<file>', 'the export; - for standard input')
  .requiredOption('--key <vkey>', "the server's verifier key, from its start or its audit page")
  .option('--checkpoint <file>', 'a checkpoint kept from earlier, to notice events cut off at the end')
  .action(auditVerify);

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`${explainFailure(error)}\n`);
  process.exit(1);
});
