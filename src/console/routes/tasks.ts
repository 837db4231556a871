import { csrfToken } from '../../people/csrf.ts';
import { readBudget } from '../../tasks/budget.ts';
import { listTasks } from '../../tasks/find.ts';
import { endTask } from '../../tasks/finish.ts';
import { readTrace } from '../../tasks/trace/read_trace.ts';
import { refusal } from '../../wire/refusals.ts';
import { type Answer, goTo, refuseWith, showPage } from '../answer.ts';
import { toolServerNames } from '../lookups.ts';
import { type TaskEntry, taskPage, tasksPage } from '../pages/tasks_page.ts';
import { traceSection } from '../pages/trace_section.ts';
import type { Entrances } from '../routing.ts';
import type { PersonalVisit } from '../visit.ts';
import { namedSelection } from './agents.ts';

const PURPOSE = 'tasks';

export function addTaskRoutes(at: Entrances): void {
  at.showPerson('/tasks', showAll);
  at.showPerson('/tasks/:id', showOne);
  at.postPerson('/tasks/:id/end', PURPOSE, end);
}

type ListedTask = Awaited<ReturnType<typeof listTasks>>[number];

function listFor({ store, signedIn }: PersonalVisit): Promise<ListedTask[]> {
  return listTasks(store, { personId: signedIn.person.id });
}

/** Everybody who sees a task here has a part in it, and may end it. */
function entry(task: ListedTask): TaskEntry {
  const { id, purpose, agentName, requesterName, isRunning } = task;
  return {
    id,
    purpose,
    agentName,
    requesterName,
    state: task.state === 'active' && !isRunning ? 'expired' : task.state,
    createdAt: task.created_at,
    expiresAt: task.expires_at,
    endedAt: task.ended_at,
    mayEnd: isRunning,
  };
}

async function showAll(visit: PersonalVisit): Promise<Answer> {
  const tasks = await listFor(visit);
  return showPage(tasksPage(tasks.map(entry), csrfToken(visit.store, visit.signedIn, PURPOSE)));
}

async function showOne(visit: PersonalVisit): Promise<Answer> {
  const task = (await listFor(visit)).find((one) => one.id === visit.params.id);
  if (task === undefined) {
    return refuseWith(refusal('not_found', 'There is no such task, or you have no part in it.'), '/tasks');
  }
  const tools = namedSelection(task.tools, await toolServerNames(visit.store));
  const csrf = csrfToken(visit.store, visit.signedIn, PURPOSE);
  const after = /^\d{1,15}$/.test(visit.query.get('after') ?? '') ? Number(visit.query.get('after')) : 0;
  const reader = { kind: 'person', id: visit.signedIn.person.id } as const;
  const trace = await readTrace(visit.store, { taskId: task.id, reader, after });
  if (!trace.ok) return refuseWith(trace.refusal, '/tasks');
  const history = traceSection(trace.value, new Date());
  const limits = await readBudget(visit.store.db, task.id);
  return showPage(taskPage({ ...entry(task), tools, limits, purposeCode: task.purpose_code, history }, csrf));
}

async function end(visit: PersonalVisit): Promise<Answer> {
  const by = { personId: visit.signedIn.person.id };
  const ended = await endTask(visit.store, { taskId: visit.params.id ?? '', how: 'cancelled', by });
  return ended.ok ? goTo('/tasks') : refuseWith(ended.refusal, '/tasks');
}
