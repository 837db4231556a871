/** What the guard does with a method of A2A 1.0 (§5.3). */
export type A2ATreatment =
  /** Decided by the server, as a call of a tool. */
  | 'decide'
  /** About one task: answered to the principal that the task is of. */
  | 'own_task'
  /** Answered for one conversation of the principal. */
  | 'own_list';

/**
 * Every method an agent may send. All else is refused: push notifications, which would send what a task answers to an
 * address that nobody approved; the extended card; and the names of A2A 0.3.
 */
const METHODS: Readonly<Record<string, A2ATreatment>> = {
  SendMessage: 'decide',
  SendStreamingMessage: 'decide',
  GetTask: 'own_task',
  SubscribeToTask: 'own_task',
  CancelTask: 'own_task',
  ListTasks: 'own_list',
};

/** Undefined means refused. */
export function a2aTreatmentOf(method: string): A2ATreatment | undefined {
  return Object.hasOwn(METHODS, method) ? METHODS[method] : undefined;
}
