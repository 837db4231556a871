import { mkdtemp, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServiceAgent, generateAgentKey, type ServiceAgent } from '../../src/agent/index.ts';
import { freePort } from '../../src/cli/dev.ts';
import { type Part, startPart } from './parts.ts';
import { ScriptedPerson } from './scripted_person.ts';

const ACCEPTED_POLL_MS = 250;
const ACCEPTED_POLLS_MAX = 120;

export interface ServerReady {
  readonly issuer: string;
  readonly console: string;
  readonly set_up_link: string | null;
  readonly sign_in_link: string | null;
  readonly verifier_key: string;
  readonly pid: number;
}

export interface GatewayReady {
  readonly resource: string;
  readonly state: string;
  readonly tool_server: string;
  readonly console_url: string;
  readonly tools: number;
}

/** The scratch folder the filesystem server may touch, with something to read in it. */
export async function makeNotes(): Promise<{ root: string; folder: string; dataDirectory: string }> {
  const root = await mkdtemp(join(tmpdir(), 'countersign-demo-'));
  const folder = await mkdtemp(join(root, 'notes-'));
  await writeFile(join(folder, 'shopping.md'), '# Shopping\n\n- Milk\n- Bread\n');
  await writeFile(join(folder, 'ideas.md'), '# Ideas\n\nAsk before you write.\n');
  return { root, folder, dataDirectory: join(root, 'data') };
}

/** The server as a newcomer starts it, in single-operator mode so that nobody needs a passkey for the demo. */
export async function startServer(dataDirectory: string, port?: number): Promise<Part<ServerReady>> {
  const chosen = String(port ?? (await freePort()));
  return startPart<ServerReady>(['dev', '--port', chosen, '--data-dir', dataDirectory, '--single-operator']);
}

/** `@modelcontextprotocol/server-filesystem` as it is published, over stdio, behind our gateway. */
export async function startGateway(issuer: string, root: string, folder: string): Promise<Part<GatewayReady>> {
  const program = createRequire(import.meta.url).resolve('@modelcontextprotocol/server-filesystem/package.json');
  const port = String(await freePort());
  return startPart<GatewayReady>([
    ...['gateway', '--issuer', issuer, '--name', 'files', '--port', port],
    ...['--key-file', join(root, 'gateway.key.json')],
    ...['--risk', 'read=read_*,list_*,directory_tree,search_files,get_file_info'],
    ...['--risk', 'write=write_file,edit_file,create_directory,move_file'],
    ...['--', process.execPath, join(dirname(program), 'dist/index.js'), folder],
  ]);
}

/** The first administrator, by the one-time set-up link. */
export async function becomeOperator(ready: ServerReady, name: string): Promise<ScriptedPerson> {
  if (ready.set_up_link === null) throw new Error('The server was set up before.');
  const person = new ScriptedPerson(ready.issuer);
  await person.submit(await person.open(ready.set_up_link), { action: /\/link\// }, { display_name: name });
  return person;
}

/** The operator looks at the tools the gateway reported and accepts them with the classes it proposed. */
export async function acceptToolServer(operator: ScriptedPerson, gateway: GatewayReady): Promise<void> {
  const page = await operator.submit(await operator.open(gateway.console_url), { action: /\/accept$/ });
  if (page.status !== 200) throw new Error(`The tool server was not accepted: ${page.status} ${page.html}`);
  await untilAccepted(gateway.resource);
}

/** The gateway asks every few seconds how its registration is; while it waits, its metadata carries the proof of control. */
async function untilAccepted(resource: string): Promise<void> {
  const url = new URL(resource);
  const metadata = `${url.origin}/.well-known/oauth-protected-resource${url.pathname}`;
  for (let attempt = 0; attempt < ACCEPTED_POLLS_MAX; attempt++) {
    const found = (await (await fetch(metadata)).json()) as { countersign_registration?: string };
    if (found.countersign_registration === undefined) return;
    await sleep(ACCEPTED_POLL_MS);
  }
  throw new Error('The gateway did not notice that it was accepted.');
}

/** The operator registers the agent with its public key; the operator answers for it. */
export async function registerAgent(operator: ScriptedPerson, issuer: string): Promise<ServiceAgent> {
  const { key, publicJwk } = await generateAgentKey();
  const fields = { name: 'Notes agent', purpose: 'Keeps notes tidy', jwks: JSON.stringify({ keys: [publicJwk] }) };
  const page = await operator.submit(await operator.open('/agents'), { action: /\/agents$/ }, fields);
  const clientId = /agt_[a-z2-7]{26}/.exec(page.url)?.[0] ?? /agt_[a-z2-7]{26}/.exec(page.html)?.[0];
  if (clientId === undefined) throw new Error(`The agent was not registered: ${page.status}`);
  return createServiceAgent({ issuer, clientId, key });
}
