import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { JsonObject } from '../kernel/json.ts';
import { parseStrictJson } from '../kernel/strict_json.ts';
import { type ApiClient, type ApiOptions, openApi } from './api_client.ts';
import { CommandError } from './command_error.ts';
import { textTable } from './text_table.ts';

/** Options of every `countersign agents` command. */
export interface AgentsOptions extends ApiOptions {
  readonly json?: boolean;
}

const PATH = '/api/v1/agents';
const agentPath = (id: string) => `${PATH}/${encodeURIComponent(id)}`;

const agentSchema = z.looseObject({
  id: z.string(),
  name: z.string(),
  state: z.string(),
  owner: z.string(),
  last_used_at: z.string().nullable(),
  console_url: z.string(),
});
const reviewSchema = z.object({
  is_bounded: z.boolean(),
  reviewed_at: z.string(),
  review_due_at: z.string().nullable(),
  tools: z.array(
    z.object({
      tool_server: z.string(),
      tool_server_name: z.string(),
      tool: z.string(),
      last_used_at: z.string().nullable(),
    }),
  ),
  console_url: z.string(),
});
const peersSchema = z.object({
  peers: z.array(
    z.object({
      direction: z.enum(['to', 'from']),
      peer: z.string(),
      name: z.string(),
      is_mutual: z.boolean(),
      last_used_at: z.string().nullable(),
    }),
  ),
});
const workloadSchema = z.object({
  workload_id: z.string(),
  issuer: z.string(),
  subject: z.string(),
  claims: z.record(z.string(), z.string()),
  last_used_at: z.string().nullable(),
});

function print(options: AgentsOptions, answer: JsonObject, text: string): void {
  process.stdout.write(options.json === true ? `${JSON.stringify(answer)}\n` : text);
}

export async function agentsList(options: AgentsOptions & { readonly state?: string }): Promise<void> {
  const api = await openApi(options);
  const agents: z.infer<typeof agentSchema>[] = [];
  for (let after: string | null = ''; after !== null; ) {
    const query = new URLSearchParams(options.state === undefined ? {} : { state: options.state });
    if (after !== '') query.set('after', after);
    const page = await api.send('GET', `${PATH}?${query}`);
    agents.push(...z.array(agentSchema).parse(page.agents));
    after = typeof page.next === 'string' ? page.next : null;
  }
  const rows = agents.map(({ id, state, owner, last_used_at: used, name }) => [
    id,
    state,
    owner,
    used ?? 'never',
    name,
  ]);
  print(
    options,
    { agents: agents as unknown as JsonObject[] },
    rows.length === 0
      ? 'There are no such agents.\n'
      : textTable([['id', 'state', 'owner', 'last used', 'name'], ...rows]),
  );
}

export async function agentsShow(id: string, options: AgentsOptions): Promise<void> {
  const api = await openApi(options);
  const agent = await api.send('GET', agentPath(id));
  print(options, agent, describe(agent));
}

/** Member by member, with what is nested as JSON: everything the server says, for reading and for `grep`. */
function describe(agent: JsonObject): string {
  const rows = Object.entries(agent).map(([name, value]) => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
  ]);
  return textTable(rows);
}

export interface ProposeOptions extends AgentsOptions {
  readonly name: string;
  readonly purpose: string;
  readonly owner: string;
  readonly deputy?: string;
  readonly keysFile?: string;
  readonly jwksUri?: string;
  readonly workloadOnly?: boolean;
  readonly termsFile?: string;
}

export async function agentsPropose(options: ProposeOptions): Promise<void> {
  const api = await openApi(options);
  const { name, purpose, owner, deputy, keysFile, jwksUri, workloadOnly, termsFile } = options;
  const agent = await api.send('POST', PATH, {
    name,
    purpose,
    owner,
    ...(deputy === undefined ? {} : { deputy }),
    ...(keysFile === undefined ? {} : { keys: await readKeys(keysFile) }),
    ...(jwksUri === undefined ? {} : { jwks_uri: jwksUri }),
    ...(workloadOnly === true ? { workload_only: true } : {}),
    ...(termsFile === undefined ? {} : { terms: await readJsonFile(termsFile) }),
  });
  const { id, console_url: url } = agentSchema.parse(agent);
  print(options, agent, `${id} is proposed. An administrator other than you approves it: ${url}\n`);
}

/** The server refuses, and says where a person approves: no credential of a machine does. */
export async function agentsApprove(id: string, options: AgentsOptions): Promise<void> {
  const api = await openApi(options);
  await api.send('POST', `${agentPath(id)}/approve`);
}

export async function agentsChange(id: string, options: AgentsOptions & { readonly termsFile: string }): Promise<void> {
  const api = await openApi(options);
  const answer = await api.send('PATCH', agentPath(id), { terms: await readJsonFile(options.termsFile) });
  const { changed, waiting } = z.object({ changed: z.array(z.string()), waiting: z.array(z.string()) }).parse(answer);
  const { console_url: url } = agentSchema.parse(answer);
  const lines = [
    changed.length > 0 ? `Changed at once: ${changed.join(', ')}.` : undefined,
    waiting.length > 0 ? `Waits for another administrator: ${waiting.join(', ')}. ${url}` : undefined,
    changed.length + waiting.length === 0 ? 'Nothing differs. Nothing was changed.' : undefined,
  ];
  print(
    options,
    answer,
    lines
      .filter((line) => line !== undefined)
      .map((line) => `${line}\n`)
      .join(''),
  );
}

export async function agentsKeys(id: string, options: AgentsOptions & { readonly keysFile: string }): Promise<void> {
  const api = await openApi(options);
  const answer = await api.send('PUT', `${agentPath(id)}/keys`, { keys: await readKeys(options.keysFile) });
  const due = typeof answer.keys_due_at === 'string' ? ` The next are due by ${answer.keys_due_at}.` : '';
  print(options, answer, `The keys were replaced: only these sign for ${id} from now on.${due}\n`);
}

export interface StopOptions extends AgentsOptions {
  readonly reason?: string;
  readonly yes?: boolean;
}

export async function agentsSuspend(id: string, options: StopOptions): Promise<void> {
  const answer = await act(id, 'suspend', options);
  print(options, answer, `${id} is suspended. ${endedWords(answer)}\n`);
}

export async function agentsResume(id: string, options: StopOptions): Promise<void> {
  const answer = await act(id, 'resume', options);
  print(options, answer, `${id} is active again.\n`);
}

export async function agentsOffboard(id: string, options: StopOptions): Promise<void> {
  if (options.yes !== true) {
    throw new CommandError(`Offboarding ${id} cannot be undone. Say --yes to do it. Nothing was changed.`);
  }
  const answer = await act(id, 'offboard', options);
  print(options, answer, `${id} is offboarded for good. ${endedWords(answer)}\n`);
}

async function act(id: string, what: string, options: StopOptions): Promise<JsonObject> {
  const api = await openApi(options);
  return api.send('POST', `${agentPath(id)}/${what}`, { reason: options.reason ?? '' });
}

function endedWords(answer: JsonObject): string {
  const counts = z.record(z.string(), z.number()).safeParse(answer.ended);
  const some = Object.entries(counts.success ? counts.data : {}).filter(([, count]) => count > 0);
  return some.length === 0
    ? 'Nothing was under way in its name.'
    : `With it ended: ${some.map(([what, count]) => `${count} ${what.replaceAll('_', ' ')}`).join(', ')}.`;
}

export async function agentsTransfer(
  id: string,
  options: AgentsOptions & { readonly owner?: string; readonly deputy?: string },
): Promise<void> {
  const { owner, deputy } = options;
  if (owner === undefined && deputy === undefined) throw new CommandError('Name --owner, --deputy, or both.');
  const api = await openApi(options);
  const answer = await api.send('POST', `${agentPath(id)}/transfer`, {
    ...(owner === undefined ? {} : { owner }),
    ...(deputy === undefined ? {} : { deputy }),
  });
  print(options, answer, `${id} is owned by ${answer.owner}, and ${answer.deputy ?? 'nobody'} is the deputy.\n`);
}

export async function agentsReview(
  id: string,
  options: AgentsOptions & { readonly removeUnused?: boolean },
): Promise<void> {
  const api = await openApi(options);
  const answer = await api.send('GET', `${agentPath(id)}/review`);
  const review = reviewSchema.parse(answer);
  if (options.removeUnused === true) return removeUnused(api, id, review, options);
  const rows = review.tools.map((tool) => [tool.last_used_at ?? 'never', tool.tool_server_name, tool.tool]);
  const bound = review.is_bounded ? 'What it was given:' : 'It has no bound but that of each task. What it used:';
  const due = review.review_due_at === null ? '' : `, next by ${review.review_due_at}`;
  const head = `Reviewed last ${review.reviewed_at}${due}. A person says that it is reviewed: ${review.console_url}\n${bound}\n`;
  print(
    options,
    answer,
    `${head}${rows.length === 0 ? 'nothing\n' : textTable([['last used', 'tool server', 'tool'], ...rows])}`,
  );
}

async function removeUnused(
  api: ApiClient,
  id: string,
  review: z.infer<typeof reviewSchema>,
  options: AgentsOptions,
): Promise<void> {
  if (!review.is_bounded) {
    throw new CommandError(
      'It has no bound, so there is nothing to take away. Give it one with: countersign agents change',
    );
  }
  const bound: Record<string, string[]> = {};
  for (const { tool_server: server, tool, last_used_at: used } of review.tools) {
    if (used !== null) bound[server] = [...(bound[server] ?? []), tool];
  }
  const unused = review.tools.filter((tool) => tool.last_used_at === null);
  if (unused.length === 0) return print(options, {}, 'It used everything that it was given. Nothing was changed.\n');
  const answer = await api.send('PATCH', agentPath(id), { terms: { bound } });
  print(options, answer, `Taken away: ${unused.map((tool) => tool.tool).join(', ')}.\n`);
}

export async function agentsPeers(id: string, options: AgentsOptions & { readonly remove?: string }): Promise<void> {
  const api = await openApi(options);
  const [, direction, peer] = /^(to|from):(.+)$/.exec(options.remove ?? '') ?? [];
  if (options.remove !== undefined && peer === undefined) {
    throw new CommandError('Write what to remove as to:<agent> or from:<agent>.');
  }
  const path = `${agentPath(id)}/peers`;
  const answer =
    peer === undefined
      ? await api.send('GET', path)
      : await api.send('DELETE', `${path}/${direction}/${encodeURIComponent(peer)}`);
  const { peers } = peersSchema.parse(answer);
  const verb = direction === 'to' ? 'hands nothing to' : 'takes nothing from';
  const ended = peer === undefined ? '' : `${id} ${verb} ${peer} any more. ${endedWords(answer)}\n`;
  const words = { to: 'may hand work to', from: 'may take work from' } as const;
  const rows = peers.map((one) => [
    words[one.direction],
    one.peer,
    one.is_mutual ? 'in force' : 'waits for the other side',
    one.last_used_at ?? 'never used',
    one.name,
  ]);
  print(options, answer, `${ended}${rows.length === 0 ? 'It works with no other agent.\n' : textTable(rows)}`);
}

export async function agentsWorkloads(
  id: string,
  options: AgentsOptions & { readonly addFile?: string; readonly remove?: string },
): Promise<void> {
  const { addFile, remove } = options;
  if (addFile !== undefined && remove !== undefined) throw new CommandError('Say --add-file or --remove, not both.');
  const path = `${agentPath(id)}/workloads`;
  const asked = addFile === undefined ? undefined : await readJsonFile(addFile);
  const api = await openApi(options);
  if (asked !== undefined) {
    const added = await api.send('POST', path, asked);
    const { workload_id: workload, subject, issuer } = workloadSchema.parse(added);
    return print(options, added, `${workload} is added: ${subject} of ${issuer} signs in as ${id} from now on.\n`);
  }
  if (remove !== undefined) {
    const removed = await api.send('DELETE', `${path}/${encodeURIComponent(remove)}`);
    return print(options, removed, `${remove} is removed: no token signs in as ${id} by it any more.\n`);
  }
  const answer = await api.send('GET', path);
  const rows = z
    .array(workloadSchema)
    .parse(answer.workloads)
    .map((one) => [one.workload_id, one.issuer, one.subject, claimWords(one.claims), one.last_used_at ?? 'never']);
  const head = ['id', 'issuer', 'subject', 'claims', 'last used'];
  print(options, answer, rows.length === 0 ? 'No workload signs in as this agent.\n' : textTable([head, ...rows]));
}

/** JSON, since what they hold is another platform's: no line break of it may look like a row of ours. */
function claimWords(claims: Readonly<Record<string, string>>): string {
  return Object.keys(claims).length === 0 ? '-' : JSON.stringify(claims);
}

async function readJsonFile(path: string): Promise<JsonObject> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new CommandError(`The file ${path} cannot be read (${error.code ?? error.message}).`);
  });
  const parsed = parseStrictJson(text);
  if (parsed.ok && typeof parsed.value === 'object' && parsed.value !== null && !Array.isArray(parsed.value)) {
    return parsed.value as JsonObject;
  }
  throw new CommandError(`The file ${path} must hold a JSON object.${parsed.ok ? '' : ` ${parsed.refusal.message}`}`);
}

async function readKeys(path: string): Promise<JsonObject[]> {
  const { keys } = await readJsonFile(path);
  if (Array.isArray(keys)) return keys as JsonObject[];
  throw new CommandError(`The file ${path} must hold a JSON Web Key Set: {"keys": […]}, with public keys only.`);
}
