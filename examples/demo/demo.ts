import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { callWithApproval, readStepUp, type ServiceAgent, type Waiting } from '../../src/agent/index.ts';
import { decideByScript, signInLink } from './approver.ts';
import { exportAndVerify } from './audit.ts';
import type { ScriptedPerson } from './scripted_person.ts';
import {
  acceptToolServer,
  becomeOperator,
  type GatewayReady,
  makeNotes,
  registerAgent,
  startGateway,
  startServer,
} from './set_up.ts';
import { Story } from './story.ts';

const { values: mode } = parseArgs({
  options: { auto: { type: 'boolean', default: false }, deny: { type: 'boolean', default: false } },
});

const story = new Story();
const TOOLS = ['list_directory', 'read_text_file', 'write_file'];
const closing: (() => Promise<unknown>)[] = [];

try {
  await main();
} catch (error) {
  story.check(false, 'the demo ran to its end', `the demo stopped: ${(error as Error).stack ?? error}`);
} finally {
  for (const close of closing.reverse()) await close().catch(() => {});
}
process.stdout.write(story.hasHeld ? '\nEvery step held.\n\n' : '\nNot every step held.\n\n');
process.exit(story.hasHeld ? 0 : 1);

async function main(): Promise<void> {
  process.once('SIGINT', () => process.exit(130));
  const notes = await makeNotes();
  closing.push(() => rm(notes.root, { recursive: true, force: true }));

  story.chapter('The server starts, on real PostgreSQL of its own');
  const server = await startServer(notes.dataDirectory);
  closing.push(() => server.stop());
  const { issuer } = server.ready;
  story.tell(`Issuer and console: ${issuer}`);
  const operator = await becomeOperator(server.ready, 'Operator');
  story.tell('Single-operator mode: one person may do everything, without a passkey. Only for trying things out.');

  story.chapter('The gateway goes before an MCP server that nobody changed');
  const gateway = await startGateway(issuer, notes.root, notes.folder);
  closing.push(() => gateway.stop());
  await acceptToolServer(operator, gateway.ready);
  story.tell(`@modelcontextprotocol/server-filesystem, ${gateway.ready.tools} tools, now at ${gateway.ready.resource}`);
  story.tell('The operator accepted it: reading is class "read", writing is class "write" and needs a person.');

  story.chapter('An agent starts a task and connects with an ordinary MCP client');
  const agent = await registerAgent(operator, issuer);
  const task = await agent.startTask({
    resource: gateway.ready.resource,
    tools: TOOLS,
    purpose: 'Add eggs to the shopping list',
  });
  const client = await connect(agent, task.taskId, gateway.ready);
  closing.push(() => client.close());
  const { tools } = await client.listTools();
  const names = tools.map((tool) => tool.name).sort();
  story.check(names.join() === TOOLS.join(), `it sees the tools of its task and no others: ${names.join(', ')}`);

  story.chapter('Reading goes through');
  const listed = await client.callTool({ name: 'list_directory', arguments: { path: notes.folder } });
  story.check(textIn(listed).includes('shopping.md'), 'list_directory answered at once');
  const file = join(notes.folder, 'shopping.md');
  const read = await client.callTool({ name: 'read_text_file', arguments: { path: file } });
  story.check(textIn(read).includes('Milk'), 'read_text_file answered at once');

  story.chapter('Writing is risky: the call pauses until a person has decided');
  const content = '# Shopping\n\n- Milk\n- Bread\n- Eggs\n';
  const write = { name: 'write_file', arguments: { path: file, content } };
  if (mode.deny) await deniedWrite(client, operator, issuer, write, file);
  else await approvedWrite(client, operator, issuer, write, file);

  story.chapter('The task ends, and its token stops working');
  await agent.endTask(task.taskId);
  const after = await client.callTool({ name: 'read_text_file', arguments: { path: file } }).then(
    () => 'answered',
    (error: Error) => error.message,
  );
  story.check(after !== 'answered', `reading is refused now: ${firstLine(after)}`);

  story.chapter('The audit log verifies, offline');
  await client.close();
  await gateway.stop();
  await server.stop();
  await exportAndVerify(story, notes.dataDirectory, server.ready);
}

async function connect(agent: ServiceAgent, taskId: string, gateway: GatewayReady): Promise<Client> {
  const client = new Client({ name: 'notes-agent', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
  const authProvider = agent.authProvider(taskId, gateway.resource);
  await client.connect(new StreamableHTTPClientTransport(new URL(gateway.resource), { authProvider }));
  return client;
}

interface Write {
  readonly name: string;
  readonly arguments: { readonly path: string; readonly content: string };
}

async function approvedWrite(client: Client, operator: ScriptedPerson, issuer: string, write: Write, file: string) {
  const waiting: Waiting[] = [];
  const result = await callWithApproval(client, write, {
    onWaiting: tellWaiting(waiting, operator, issuer, 'approve'),
  });
  story.check(waiting.length === 1 && result.isError !== true, 'a person approved, and the paused call finished');
  story.check((await readFile(file, 'utf8')) === write.arguments.content, 'the file holds exactly what was shown');

  story.chapter('The same call again at once is answered with the recorded outcome and does not run');
  const marker = 'Changed by somebody else meanwhile.\n';
  const { writeFile } = await import('node:fs/promises');
  await writeFile(file, marker);
  const again = await client.callTool(write);
  story.check(readStepUp(again)?.kind === 'replayed', `it got the outcome from before: ${firstLine(textIn(again))}`);
  story.check((await readFile(file, 'utf8')) === marker, 'the file was not written a second time');

  story.chapter('The same call with one byte changed pauses anew');
  const changed = {
    ...write,
    arguments: { ...write.arguments, content: write.arguments.content.replace('Eggs', 'eggs') },
  };
  const paused = readStepUp(await client.callTool(changed));
  story.check(paused?.kind === 'waiting', 'one byte is another action: it waits for a person, and nothing ran');
  story.check((await readFile(file, 'utf8')) === marker, 'the file is as it was');
}

async function deniedWrite(client: Client, operator: ScriptedPerson, issuer: string, write: Write, file: string) {
  const before = await readFile(file, 'utf8');
  const result = await callWithApproval(client, write, { onWaiting: tellWaiting([], operator, issuer, 'deny') });
  const verdict = readStepUp(result);
  const isDenied = verdict?.kind === 'refused' && verdict.code === 'step_up_denied';
  story.check(isDenied, `the agent is told: ${firstLine(textIn(result))}`);
  if (mode.auto)
    story.check(textIn(result).includes('Eggs are on the list already'), "the person's reason reached the agent");
  story.check((await readFile(file, 'utf8')) === before, 'nothing was written');
}

function tellWaiting(seen: Waiting[], operator: ScriptedPerson, issuer: string, decision: 'approve' | 'deny') {
  return (waiting: Waiting) => {
    seen.push(waiting);
    story.tell('The agent called write_file. Nothing was written; the call is held.');
    const decided = mode.auto
      ? decideByScript(operator, waiting, decision).then((line) => story.tell(line))
      : signInLink(operator, issuer, waiting).then((link) => {
          const what = decision === 'approve' ? 'approve it' : 'deny it, with a reason';
          story.ask(`Open this link, sign in, read what would run, and ${what}:`, link);
        });
    decided.catch((error: unknown) => story.check(false, '', `the decision failed: ${(error as Error).message}`));
  };
}

function textIn(result: unknown): string {
  const { content } = result as { content?: readonly { type: string; text?: string }[] };
  return (content ?? []).map((block) => block.text ?? '').join('\n');
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? '';
}
