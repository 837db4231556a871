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
export interface RedisConfiguration {
  readonly topology: 'none' | 'single' | 'sentinel' | 'cluster';
  readonly nodes: readonly string[];
  readonly sentinel_name: string | null;
  readonly username: string | null;
  readonly password_file: string | null;
  readonly sentinel_password_file: string | null;
  readonly tls: boolean;
  readonly database: number;
  readonly key_prefix: string;
}

/** null for topology `none`. Throws `RedisSettingsError` for a combination that cannot work, or a file others can read. */
export async function loadRedisSettings(_configuration: RedisConfiguration): Promise<RedisSettings | null> {
  throw new Error('Redis is not built yet.');
}

/** The configuration of Redis cannot be used; the message says what to write instead. */
export class RedisSettingsError extends Error {
  override readonly name = 'RedisSettingsError';
}
