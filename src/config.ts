import { parseDocument } from 'yaml';
import { z } from 'zod';
import { accepted, type Result, refused } from './kernel/result.ts';
import { DEFAULT_RULES, MESSAGE_TOPICS, type Rules } from './model/rules.ts';
import { signInSchema } from './people/upstream/settings_schema.ts';
import { checkFederation, dpopSchema, federationSchema } from './provider/federation_schema.ts';
import { trustedProxies } from './provider/forwarded.ts';
import { checkSignals, signalsSchema } from './signals/receive/transmitter.ts';
import { parseDatabaseUrl } from './store/postgres/address.ts';

const seconds = z.number().int().positive();
const hostAndPlainPort = z.string().regex(/^[^\s/]+:\d+$/, 'write it as host:port');
const hostAndPort = z.string().regex(/^[^\s/]+:(\d+|\*)$/, 'write it as host:port, or host:* for any port');

const preRegisteredClient = z.strictObject({
  client_id: z.string().min(1).max(200),
  client_name: z.string().min(1).max(100),
  redirect_uris: z.array(z.string().min(1)).min(1),
  application_type: z.enum(['native', 'web']).default('native'),
  client_secret_file: z.string().min(1).nullable().default(null),
});

/** Every key of the configuration; `config/countersign.yaml` documents each (a test keeps them in step). */
export const configSchema = z.strictObject({
  issuer: z.url().refine((url) => !/[?#]|\/$/.test(url), 'leave out a trailing slash, query and fragment'),
  listen: z
    .strictObject({ host: z.string().default('127.0.0.1'), port: z.number().int().min(0).max(65_535).default(9400) })
    .prefault({}),
  mode: z.enum(['standard', 'single_operator']).default('standard'),
  data_directory: z.string().min(1).default('.countersign'),
  root_key_file: z.string().min(1).nullable().default(null),
  root_key_previous_file: z.string().min(1).nullable().default(null),
  database: z
    .strictObject({
      url: z.string().nullable().default(null),
      pool_max: z.number().int().min(2).max(100).default(10),
      durability: z.enum(['checked', 'assumed']).default('checked'),
    })
    .prefault({}),
  redis: z
    .strictObject({
      topology: z.enum(['none', 'single', 'sentinel', 'cluster']).default('none'),
      nodes: z.array(hostAndPlainPort).default([]),
      sentinel_name: z.string().min(1).nullable().default(null),
      username: z.string().min(1).nullable().default(null),
      password_file: z.string().min(1).nullable().default(null),
      sentinel_password_file: z.string().min(1).nullable().default(null),
      tls: z.boolean().default(false),
      database: z.number().int().min(0).max(15).default(0),
      key_prefix: z
        .string()
        .regex(/^[a-z0-9_-]{1,32}$/, 'use 1 to 32 of a-z, 0-9, "_" and "-"')
        .default('countersign'),
    })
    .prefault({}),
  policies: z.string().min(1).default('config/policies'),
  purpose_codes: z
    .array(z.strictObject({ code: z.string().regex(/^[a-z0-9_-]{1,64}$/), label: z.string().min(1).max(100) }))
    .default([]),
  sign_in: signInSchema.prefault({}),
  clients: z.array(preRegisteredClient).default([]),
  client_id_metadata_documents: z
    .strictObject({
      enabled: z.boolean().default(true),
      allowed_domains: z.array(z.string().min(1)).default([]),
    })
    .prefault({}),
  dynamic_registration: z.boolean().default(false),
  federation: federationSchema.prefault({}),
  signals: signalsSchema.prefault({}),
  dpop: dpopSchema.prefault({}),
  fetch_allowed_hosts: z.array(hostAndPort).default([]),
  trusted_proxies: z.array(z.string().min(1)).default([]),
  tasks: z
    .strictObject({
      seconds_default: seconds.default(DEFAULT_RULES.taskSecondsDefault),
      seconds_max: seconds.default(DEFAULT_RULES.taskSecondsMax),
    })
    .prefault({}),
  access_token_seconds: seconds.min(30).max(300).default(DEFAULT_RULES.accessTokenSeconds),
  token_status_lists: z.boolean().default(DEFAULT_RULES.tokenStatusLists),
  session_seconds: seconds.min(60).default(DEFAULT_RULES.sessionSeconds),
  step_ups: z
    .strictObject({
      replay_window_seconds: z.number().int().min(0).default(DEFAULT_RULES.replayWindowSeconds),
      denial_cooldown_seconds: z.number().int().min(0).default(DEFAULT_RULES.denialCooldownSeconds),
      per_agent_per_minute: seconds.default(DEFAULT_RULES.stepUpsPerAgentPerMinute),
      open_per_agent: seconds.default(DEFAULT_RULES.openStepUpsPerAgent),
      critical_dwell_seconds: z.number().int().min(0).default(DEFAULT_RULES.criticalDwellSeconds),
    })
    .prefault({}),
  channels: z
    .strictObject({
      webhook: z
        .strictObject({
          url: z.url().nullable().default(null),
          secret_file: z.string().min(1).nullable().default(null),
          tell_of: z
            .array(z.enum(MESSAGE_TOPICS))
            .min(1)
            .default([...DEFAULT_RULES.toldOf]),
        })
        .prefault({}),
    })
    .prefault({}),
  keys: z.strictObject({ publish_seconds: z.number().int().min(5).max(86_400).default(60) }).prefault({}),
  retention: z
    .strictObject({
      audit_days: seconds.nullable().default(null),
      step_ups_days: seconds.nullable().default(null),
    })
    .prefault({}),
  overload: z
    .strictObject({
      requests_max: z.number().int().min(4).max(10_000).default(100),
      connections_max: z.number().int().min(10).max(100_000).default(2_000),
    })
    .prefault({}),
  drain: z
    .strictObject({
      announce_seconds: z.number().int().min(0).max(300).default(0),
      seconds_max: z.number().int().min(1).max(300).default(10),
    })
    .prefault({}),
  log_level: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});
export type Config = z.infer<typeof configSchema>;

/** What is wrong with the configuration: where, what, and what to write instead. */
export interface ConfigProblem {
  readonly place: string;
  readonly message: string;
}

export const ENVIRONMENT_PREFIX = 'COUNTERSIGN_';
/** Read elsewhere: the root key never passes through the configuration, which is logged. */
const OTHER_VARIABLES = ['COUNTERSIGN_ROOT_KEY', 'COUNTERSIGN_ROOT_KEY_PREVIOUS', 'COUNTERSIGN_CONFIG'];

/**
 * Parses the configuration once: YAML text, then overrides from the environment (`COUNTERSIGN_LISTEN__PORT=9500` sets
 * `listen.port`), then overrides by the command line. Unknown keys are refused with the nearest known name.
 */
export function parseConfig(input: {
  readonly text?: string;
  readonly path?: string;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly overrides?: Readonly<Record<string, unknown>>;
}): Result<Config, ConfigProblem[]> {
  const document = parseDocument(input.text ?? '', { uniqueKeys: true });
  const syntax = document.errors[0];
  if (syntax !== undefined) return refused([{ place: input.path ?? 'configuration', message: syntax.message }]);
  const values: unknown = document.toJS() ?? {};
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    return refused([{ place: input.path ?? 'configuration', message: 'It must be a mapping of keys to values.' }]);
  }
  const merged = values as Record<string, unknown>;
  const problems: ConfigProblem[] = [];
  for (const [name, text] of Object.entries(input.environment ?? {})) {
    if (!name.startsWith(ENVIRONMENT_PREFIX) || OTHER_VARIABLES.includes(name) || text === undefined) continue;
    const path = name.slice(ENVIRONMENT_PREFIX.length).toLowerCase().split('__');
    if (!isKnown(path)) problems.push({ place: name, message: unknownKey(path) });
    else setAt(merged, path, parseDocument(text).toJS());
  }
  for (const [key, value] of Object.entries(input.overrides ?? {})) {
    if (value !== undefined) setAt(merged, key.split('.'), value);
  }
  const parsed = configSchema.safeParse(merged);
  if (!parsed.success) problems.push(...parsed.error.issues.flatMap(describeIssue));
  if (problems.length > 0 || !parsed.success) return refused(problems);
  const checks = [
    checkIssuer,
    checkDatabaseUrl,
    checkTaskSeconds,
    checkTrustedProxies,
    ({ federation }: Config) => checkFederation(federation),
    ({ signals }: Config) => checkSignals(signals),
  ];
  const found = checks.map((check) => check(parsed.data)).filter((problem) => problem !== undefined);
  return found.length === 0 ? accepted(parsed.data) : refused(found);
}

export function rulesOf(config: Config): Rules {
  return {
    singleOperator: config.mode === 'single_operator',
    replayWindowSeconds: config.step_ups.replay_window_seconds,
    denialCooldownSeconds: config.step_ups.denial_cooldown_seconds,
    stepUpsPerAgentPerMinute: config.step_ups.per_agent_per_minute,
    openStepUpsPerAgent: config.step_ups.open_per_agent,
    taskSecondsDefault: config.tasks.seconds_default,
    taskSecondsMax: config.tasks.seconds_max,
    accessTokenSeconds: config.access_token_seconds,
    sessionSeconds: config.session_seconds,
    criticalDwellSeconds: config.step_ups.critical_dwell_seconds,
    dpop: {
      noncesRequired: config.dpop.nonces === 'required',
      requiredFromRisk: config.dpop.required_from_risk,
    },
    tokenStatusLists: config.token_status_lists,
    channels: config.channels.webhook.url === null ? [] : ['webhook'],
    toldOf: config.channels.webhook.tell_of,
  };
}

function checkIssuer({ issuer }: Config): ConfigProblem | undefined {
  const { protocol, hostname, origin, pathname, username, password } = new URL(issuer);
  const place = 'issuer';
  // T3: an issuer without TLS is refused, except on this machine for development.
  const isLocal = hostname === 'localhost' || hostname === '127.0.0.1' || hostname === '[::1]';
  if (protocol !== 'https:' && !(protocol === 'http:' && isLocal)) {
    return { place, message: `${issuer} must use https. Plain http is accepted for localhost only.` };
  }
  if (username !== '' || password !== '') return { place, message: 'Leave out the user name and password.' };
  // Compared letter by letter by every client (RFC 8414 §3.3), so there must be one way to write it.
  const canonical = `${origin}${pathname === '/' ? '' : pathname}`;
  return issuer === canonical ? undefined : { place, message: `Write ${issuer} in its canonical form: ${canonical}` };
}

function checkDatabaseUrl({ database }: Config): ConfigProblem | undefined {
  const address = database.url === null ? null : parseDatabaseUrl(database.url);
  return address === null || address.ok ? undefined : { place: 'database.url', message: address.refusal };
}

function checkTaskSeconds({ tasks }: Config): ConfigProblem | undefined {
  if (tasks.seconds_default <= tasks.seconds_max) return undefined;
  return {
    place: 'tasks.seconds_default',
    message: `${tasks.seconds_default} is longer than tasks.seconds_max, ${tasks.seconds_max}. Lower it or raise the maximum.`,
  };
}

function checkTrustedProxies({ trusted_proxies }: Config): ConfigProblem | undefined {
  try {
    trustedProxies(trusted_proxies);
    return undefined;
  } catch (error) {
    return { place: 'trusted_proxies', message: `${(error as Error).message}.` };
  }
}

function describeIssue(issue: z.core.$ZodIssue): ConfigProblem[] {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ place: [...path, key].join('.'), message: unknownKey([...path, key]) }));
  }
  return [{ place: path.join('.') || 'configuration', message: `${issue.message}.` }];
}

function unknownKey(path: readonly string[]): string {
  const known = configKeys();
  const wanted = path.join('.');
  const nearest = known.reduce((best, key) => (distance(key, wanted) < distance(best, wanted) ? key : best));
  return `There is no key "${wanted}". The nearest is "${nearest}".`;
}

/** Every key in dotted form, inner ones included; members of list entries as `clients.client_id`. */
export function configKeys(schema: z.ZodType = configSchema, prefix = ''): string[] {
  const inner = unwrap(schema);
  if (!(inner instanceof z.ZodObject)) return [];
  return Object.entries(inner.shape).flatMap(([key, value]) => {
    const name = `${prefix}${key}`;
    return [name, ...configKeys(value as z.ZodType, `${name}.`)];
  });
}

function unwrap(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodArray) return unwrap(schema.element as z.ZodType);
  const wrapped = schema as { unwrap?: () => z.ZodType };
  return typeof wrapped.unwrap === 'function' ? unwrap(wrapped.unwrap()) : schema;
}

function isKnown(path: readonly string[]): boolean {
  return configKeys().includes(path.join('.'));
}

function setAt(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [first, ...rest] = path as [string, ...string[]];
  if (rest.length === 0) {
    target[first] = value;
    return;
  }
  const next = target[first];
  const child = typeof next === 'object' && next !== null && !Array.isArray(next) ? next : {};
  target[first] = child;
  setAt(child as Record<string, unknown>, rest, value);
}

/** Edit distance (Levenshtein), for naming the key somebody probably meant. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [index, char] of [...a].entries()) {
    const next = [index + 1];
    for (let at = 1; at <= b.length; at++) {
      next.push(Math.min(next[at - 1]! + 1, row[at]! + 1, row[at - 1]! + (char === b[at - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
