import { resolve } from 'node:path';
import { readSecretFile } from '../../kernel/secret_file.ts';
import { PASSWORD_CHARACTERS_MAX } from './limits.ts';

/** Where Redis is and how to speak to it: `redis.*` of the configuration, with the passwords read from their files. */
export interface RedisSettings {
  readonly topology: 'single' | 'sentinel' | 'cluster';
  readonly nodes: readonly RedisNode[];
  /** The name the Sentinels know the primary by; only for topology `sentinel`. */
  readonly sentinelName: string | null;
  readonly username: string | null;
  readonly password: string | null;
  readonly sentinelPassword: string | null;
  readonly tls: boolean;
  readonly database: number;
  readonly keyPrefix: string;
}

export interface RedisNode {
  readonly host: string;
  readonly port: number;
}

/** The part of the configuration that names Redis, as the file has it. */
interface RedisConfiguration {
  readonly topology: 'none' | RedisSettings['topology'];
  readonly nodes: readonly string[];
  readonly sentinel_name: string | null;
  readonly username: string | null;
  readonly password_file: string | null;
  readonly sentinel_password_file: string | null;
  readonly tls: boolean;
  readonly database: number;
  readonly key_prefix: string;
}

/** The configuration of Redis cannot be used; the message says what to write instead. */
export class RedisSettingsError extends Error {
  override readonly name = 'RedisSettingsError';
}

/** null for topology `none`. Throws `RedisSettingsError` for a combination that cannot work, or a file others can read. */
export async function loadRedisSettings(configuration: RedisConfiguration): Promise<RedisSettings | null> {
  const { topology } = configuration;
  if (topology === 'none') return null;
  const nodes = configuration.nodes.map(parseNode);
  const problem = problemOf({ ...configuration, topology });
  if (problem !== undefined) throw new RedisSettingsError(problem);
  return {
    topology,
    nodes,
    sentinelName: configuration.sentinel_name,
    username: configuration.username,
    password: await readPassword(configuration.password_file),
    sentinelPassword: await readPassword(configuration.sentinel_password_file),
    tls: configuration.tls,
    database: configuration.database,
    keyPrefix: configuration.key_prefix,
  };
}

function problemOf(configuration: RedisConfiguration & Pick<RedisSettings, 'topology'>): string | undefined {
  const { topology, nodes } = configuration;
  if (nodes.length === 0)
    return `redis.nodes is empty. Name what redis.topology "${topology}" is reached at: host:port.`;
  if (topology === 'single' && nodes.length > 1) {
    return `redis.nodes names ${nodes.length} servers, and redis.topology "single" has one. Write "sentinel" or "cluster" if they belong together.`;
  }
  if (topology === 'sentinel' && configuration.sentinel_name === null) {
    return 'redis.sentinel_name is missing: the name the Sentinels know the primary by ("sentinel monitor <name> …" in their configuration).';
  }
  if (topology !== 'sentinel' && (configuration.sentinel_name ?? configuration.sentinel_password_file) !== null) {
    return `redis.sentinel_name and redis.sentinel_password_file are for redis.topology "sentinel" only; it is "${topology}".`;
  }
  if (topology === 'cluster' && configuration.database !== 0) {
    return `redis.database is ${configuration.database}, and a Cluster has database 0 only. Remove it; redis.key_prefix keeps installations apart.`;
  }
  if (configuration.username !== null && configuration.password_file === null) {
    return 'redis.username is set without redis.password_file. Put the password of that user into a file and name it.';
  }
  return undefined;
}

function parseNode(text: string): RedisNode {
  const at = text.lastIndexOf(':');
  const port = Number(text.slice(at + 1));
  const host = text.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  if (host === '' || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new RedisSettingsError(
      `redis.nodes holds "${text}". Write host:port, such as redis.internal:6379 or [::1]:6379.`,
    );
  }
  return { host, port };
}

async function readPassword(file: string | null): Promise<string | null> {
  if (file === null) return null;
  const path = resolve(file);
  const read = await readSecretFile(path);
  if (!read.ok) throw new RedisSettingsError(`The password of Redis: ${read.refusal.message}`);
  const password = read.value.replace(/\r?\n$/, '');
  if (password === '' || password.length > PASSWORD_CHARACTERS_MAX || /[\r\n]/.test(password)) {
    throw new RedisSettingsError(
      `The password file ${path} must hold one line of at most ${PASSWORD_CHARACTERS_MAX} characters.`,
    );
  }
  return password;
}
