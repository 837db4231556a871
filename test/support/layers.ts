import type { SourceFile } from './source_files.ts';

type Graph = readonly Pick<SourceFile, 'path' | 'imports'>[];

const SERVER_LAYERS = [
  'store',
  'events',
  'keys',
  'agents',
  'people',
  'approvals',
  'tasks',
  'signals',
  'provider',
  'api',
  'console',
];
const CLIENT_LAYERS = ['policy', 'guard', 'agent', 'gateway'];

/** The table of the design: what each layer may import, besides itself, kernel and wire. */
export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  kernel: [],
  wire: [],
  model: [],
  policy: ['model'],
  store: ['model'],
  events: ['store', 'model'],
  keys: ['store', 'events', 'model'],
  agents: ['policy', 'store', 'events', 'keys', 'model'],
  people: ['policy', 'store', 'events', 'keys', 'model'],
  approvals: ['policy', 'store', 'events', 'keys', 'model'],
  tasks: ['agents', 'approvals', 'policy', 'store', 'events', 'keys', 'model'],
  signals: ['tasks', 'people', 'store', 'events', 'keys', 'model'],
  provider: ['tasks', 'agents', 'people', 'approvals', 'store', 'events', 'keys', 'model'],
  api: ['signals', 'tasks', 'agents', 'people', 'approvals', 'store', 'events', 'keys', 'model'],
  console: ['signals', 'tasks', 'agents', 'people', 'approvals', 'store', 'events', 'keys', 'model'],
  guard: ['policy'],
  agent: [],
  gateway: ['guard'],
  config: ['model', ...SERVER_LAYERS, ...CLIENT_LAYERS],
  server: ['model', ...SERVER_LAYERS, ...CLIENT_LAYERS, 'config'],
  cli: ['model', ...SERVER_LAYERS, ...CLIENT_LAYERS, 'config', 'server'],
};

const OPEN_TO_ALL = ['kernel', 'wire'];
/** These run at the tool server or at the agent, and reach our server by HTTP only. */
const RUN_ELSEWHERE = ['guard', 'agent', 'gateway'];
const CHANNEL = /^src\/approvals\/channels\/([^/.]+)/;
/** A channel may use these of the server, and nothing else (design: "never each other"). */
const CHANNEL_MAY_IMPORT = ['approvals', 'model', ...OPEN_TO_ALL];

export function layerOf(path: string): string {
  return /^src\/([^/.]+)/.exec(path)?.[1] ?? '';
}

/** One sentence for every import that does not point down. */
export function upwardImports(graph: Graph): string[] {
  return graph.flatMap(({ path, imports }) => {
    const from = layerOf(path);
    const allowed = MAY_IMPORT[from];
    if (allowed === undefined) return [`${path} is in no layer of the design`];
    return imports.flatMap((target) => {
      const to = layerOf(target);
      if (to === '') return [`${path} imports ${target}, which is outside src/`];
      const isAllowed = to === from || OPEN_TO_ALL.includes(to) || allowed.includes(to);
      const isDown = isAllowed && !(from === 'kernel' && to === 'wire');
      return isDown ? channelProblem(path, target, to) : [`${path} imports ${target}: ${from} may not import ${to}`];
    });
  });
}

function channelProblem(path: string, target: string, to: string): string[] {
  const channel = CHANNEL.exec(path)?.[1];
  if (channel === undefined) return [];
  const other = CHANNEL.exec(target)?.[1];
  if (other !== undefined && other !== channel) return [`${path} imports ${target}: channels never import each other`];
  return CHANNEL_MAY_IMPORT.includes(to) ? [] : [`${path} imports ${target}: a channel may not import ${to}`];
}

/** One sentence for every path by which the guard, the agent or the gateway reaches a layer of the server. */
export function reachesServer(graph: Graph): string[] {
  const importsOf = new Map(graph.map(({ path, imports }) => [path, imports]));
  const starts = graph.map(({ path }) => path).filter((path) => RUN_ELSEWHERE.includes(layerOf(path)));
  const forbidden = [...SERVER_LAYERS, 'config', 'server', 'cli'];
  return starts.flatMap((start) => {
    const seen = new Set([start]);
    for (const path of seen) for (const target of importsOf.get(path) ?? []) seen.add(target);
    return [...seen].filter((path) => forbidden.includes(layerOf(path))).map((path) => `${start} reaches ${path}`);
  });
}

/** Every circle of imports once, written as a chain. Circles of types count: they too tie two files into one. */
export function importCycles(graph: Graph): string[] {
  const importsOf = new Map(graph.map(({ path, imports }) => [path, imports]));
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, chain: readonly string[]): void => {
    const start = chain.indexOf(path);
    if (start >= 0) cycles.push([...chain.slice(start), path].join(' -> '));
    if (start >= 0 || done.has(path)) return;
    for (const target of importsOf.get(path) ?? []) visit(target, [...chain, path]);
    done.add(path);
  };
  for (const { path } of graph) visit(path, []);
  return cycles;
}
