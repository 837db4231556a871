import { z } from 'zod';
import type { JsonObject } from '../kernel/json.ts';
import { markedLine as marked } from '../kernel/marked_text.ts';
import { type ApiOptions, openApi } from './api_client.ts';
import { CommandError } from './command_error.ts';
import { textTable } from './text_table.ts';

interface TraceOptions extends ApiOptions {
  readonly json?: boolean;
}

/** A trace of more pages is read by REST. */
const PAGES_MAX = 100;

// Loose: what is printed as JSON is what the server said.
const named = z.looseObject({ id: z.string(), name: z.string() });
const ids = z.record(z.string(), z.union([z.string(), z.number(), z.null()]));
const page = z.looseObject({
  task_id: z.string(),
  requester: named,
  tasks: z.array(
    z.looseObject({ task_id: z.string(), parent_id: z.string().nullable(), purpose: z.string(), state: z.string() }),
  ),
  delegations: z.array(
    z.looseObject({
      delegation_id: z.string(),
      task_id: z.string(),
      parent_id: z.string().nullable(),
      agent: named,
      owner: named,
      revoked_at: z.string().nullable(),
    }),
  ),
  events: z.array(z.looseObject({ position: z.number().nullable(), at: z.string(), what: z.string(), ids })),
  names: z.record(z.string(), z.string()),
  next: z.number().nullable(),
});
type Page = z.infer<typeof page>;

/** `countersign trace <task>`: who acted for whom, and what happened in order. */
export async function trace(taskId: string, options: TraceOptions): Promise<void> {
  const api = await openApi(options);
  const path = `/api/v1/tasks/${encodeURIComponent(taskId)}/trace`;
  const first = await read(api.send('GET', path));
  const events = [...first.events];
  const names = { ...first.names };
  let { next } = first;
  for (let pages = 1; next !== null; pages += 1) {
    if (pages >= PAGES_MAX) {
      throw new CommandError(`The trace is longer than this command prints. Go on with GET ${path}?after=${next}`);
    }
    const more = await read(api.send('GET', `${path}?after=${next}`));
    events.push(...more.events);
    Object.assign(names, more.names);
    next = more.next;
  }
  const whole = { ...first, events, names, next: null };
  process.stdout.write(options.json ? `${JSON.stringify(whole)}\n` : `${treeText(whole)}\n${eventText(whole)}`);
}

async function read(answer: Promise<JsonObject>): Promise<Page> {
  const parsed = page.safeParse(await answer);
  if (parsed.success) return parsed.data;
  throw new CommandError('The server answered what this version does not understand. Are both up to date?');
}

function treeText({ requester, delegations, tasks }: Page): string {
  const known = new Set(delegations.map((one) => one.delegation_id));
  const purposes = new Map(tasks.map((task) => [task.task_id, `${marked(task.purpose)} (${task.state})`]));
  const told = new Set<string>();
  const lines = [`${marked(requester.name)} asked`];
  const add = (parentId: string | null, indent: string) => {
    for (const one of delegations) {
      const isBelow =
        one.parent_id !== null && known.has(one.parent_id) ? one.parent_id === parentId : parentId === null;
      if (!isBelow) continue;
      const task = told.has(one.task_id) ? '' : `: ${purposes.get(one.task_id) ?? one.task_id}`;
      told.add(one.task_id);
      const end = one.revoked_at === null ? '' : `, taken back ${one.revoked_at}`;
      lines.push(`${indent}└ ${marked(one.agent.name)} (owner ${marked(one.owner.name)})${task}${end}`);
      add(one.delegation_id, `${indent}  `);
    }
  };
  add(null, '');
  return `${lines.join('\n')}\n`;
}

function eventText({ events, names }: Page): string {
  const rows = events.map(({ at, what, ids: of }) => {
    const by = of.person ?? of.by ?? of.agent;
    const on = of.name ?? of.tool ?? of.step_up ?? '';
    const who = typeof by === 'string' ? marked(names[by] ?? by) : '';
    return [at.slice(0, 19).replace('T', ' '), what, who, marked(String(on)), of.code == null ? '' : String(of.code)];
  });
  return textTable([['AT (UTC)', 'WHAT', 'BY', 'ON', 'WHY'], ...rows]);
}
