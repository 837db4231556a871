/** What the guard does with a method. */
export type Treatment =
  /** Handed on: it carries no data of the server and changes nothing. */
  | 'pass'
  /** Handed on; what the caller's task may not use is taken out of the answer. */
  | 'filter_tools'
  /** Handed on only where the operator opened the lists, which nothing filters. */
  | 'open_list'
  /** Decided by the server, per call. */
  | 'evaluate'
  /** Decided by the server, per resource that it names. */
  | 'listen';

/**
 * Every method an agent may send. All else is refused, vendor methods and `tasks/*` too: a method that nobody thought
 * about is a way around the guard (design §5, "No side doors").
 */
const METHODS: Readonly<Record<string, Treatment>> = {
  initialize: 'pass',
  'server/discover': 'pass',
  ping: 'pass',
  'logging/setLevel': 'pass',
  'resources/unsubscribe': 'pass',
  'notifications/initialized': 'pass',
  'notifications/cancelled': 'pass',
  'notifications/progress': 'pass',
  'tools/list': 'filter_tools',
  'resources/list': 'open_list',
  'resources/templates/list': 'open_list',
  'prompts/list': 'open_list',
  'tools/call': 'evaluate',
  'resources/read': 'evaluate',
  'resources/subscribe': 'evaluate',
  'prompts/get': 'evaluate',
  'completion/complete': 'evaluate',
  'subscriptions/listen': 'listen',
};

/** Undefined means refused. */
export function treatmentOf(method: string): Treatment | undefined {
  return Object.hasOwn(METHODS, method) ? METHODS[method] : undefined;
}
