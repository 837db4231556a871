import type { Command } from 'commander';

const load = () => import('./agents.ts');

/** `countersign agents …`: what machines may do with agents, over REST with an API token. Loads the rest when one is run. */
export function addAgentsCommands(program: Command, example: (...lines: string[]) => string): void {
  const agents = program
    .command('agents')
    .description(
      'look at agents, propose them, take from them, suspend and offboard them; people approve in the console',
    )
    .addHelpText(
      'after',
      example(
        'export COUNTERSIGN_URL=https://approve.example COUNTERSIGN_API_TOKEN=cst_…',
        'countersign agents list --state pending',
        'countersign agents offboard agt_… --reason "The project has ended" --yes',
      ),
    );
  const add = (name: string, description: string) =>
    agents
      .command(name)
      .description(description)
      .option('--url <url>', 'the Countersign server (default: COUNTERSIGN_URL)')
      .option(
        '--token-file <file>',
        'holds an API token with agents:read or agents:write (default: COUNTERSIGN_API_TOKEN)',
      )
      .option('--json', 'print JSON');
  const one = (name: string, description: string) => add(name, description).argument('<agent>', 'the id: agt_…');
  add('list', 'every agent: its state, its owner, when it was last used')
    .option('--state <state>', 'pending, active, suspended or offboarded')
    .action(async (options) => (await load()).agentsList(options));
  one('show', 'everything about one agent').action(async (id, options) => (await load()).agentsShow(id, options));
  add('propose', 'propose a service agent; an administrator other than who made the token approves it')
    .requiredOption('--name <name>', 'what people call it')
    .requiredOption('--purpose <text>', 'what it is for')
    .requiredOption('--owner <person>', 'who answers for it: prs_…')
    .option('--deputy <person>', 'who does when the owner cannot: prs_…')
    .option('--keys-file <file>', 'JSON Web Key Set with its public keys')
    .option('--jwks-uri <url>', 'or where it publishes them')
    .option('--workload-only', 'or that it signs in by tokens of its platform only')
    .option(
      '--terms-file <file>',
      'JSON: bound, scopes, delegation_depth_max, trust_zone, ends_at, dpop_required, key_days, review_days',
    )
    .action(async (options) => (await load()).agentsPropose(options));
  one('approve', 'says where a person approves: no API token does').action(async (id, options) =>
    (await load()).agentsApprove(id, options),
  );
  one('change', 'change what it may do: less holds at once, more waits for another administrator')
    .requiredOption('--terms-file <file>', 'JSON with the members that change')
    .action(async (id, options) => (await load()).agentsChange(id, options));
  one('keys', 'replace its keys; list an old one beside the new one to let them overlap')
    .requiredOption('--keys-file <file>', 'JSON Web Key Set with all public keys it has from now on')
    .action(async (id, options) => (await load()).agentsKeys(id, options));
  one('workloads', 'which tokens of its platform are this agent: it signs in by them and has no key to keep')
    .option('--add-file <file>', 'JSON: issuer (in federation.workload_issuers), subject, claims')
    .option('--remove <workload>', 'wkl_…: no token signs in by it any more')
    .addHelpText('after', example(...GITHUB_ACTIONS))
    .action(async (id, options) => (await load()).agentsWorkloads(id, options));
  addStops(one);
  addPeople(one);
}

/** The name of a repository can be given to somebody else, its id cannot. */
const GITHUB_ACTIONS = [
  'workload.json, for the jobs of one GitHub Actions repository that deploy to production:',
  '  { "issuer": "https://token.actions.githubusercontent.com",',
  '    "subject": "repo:acme/shop:environment:production",',
  '    "claims": { "repository_id": "123456789" } }',
  'countersign agents workloads agt_… --add-file workload.json',
  'countersign agents workloads agt_… --remove wkl_…',
];

type AddCommand = (name: string, description: string) => Command;

function addStops(one: AddCommand): void {
  one('suspend', 'stop everything it does, until it is resumed')
    .option('--reason <text>', 'for people to read')
    .action(async (id, options) => (await load()).agentsSuspend(id, options));
  one('resume', 'let a suspended agent work again')
    .option('--reason <text>', 'for people to read')
    .action(async (id, options) => (await load()).agentsResume(id, options));
  one('offboard', 'end it for good, with everything it handed on')
    .option('--reason <text>', 'for people to read')
    .option('--yes', 'it cannot be undone')
    .action(async (id, options) => (await load()).agentsOffboard(id, options));
}

function addPeople(one: AddCommand): void {
  one('transfer', 'give it another owner or deputy')
    .option('--owner <person>', 'prs_…')
    .option('--deputy <person>', 'prs_…')
    .action(async (id, options) => (await load()).agentsTransfer(id, options));
  one('review', 'what it was given, beside what it used')
    .option('--remove-unused', 'take away what it never used')
    .action(async (id, options) => (await load()).agentsReview(id, options));
  one('peers', 'which agents it may hand work to, or take it from')
    .option('--remove <peer>', 'to:<agent> or from:<agent>')
    .action(async (id, options) => (await load()).agentsPeers(id, options));
}
