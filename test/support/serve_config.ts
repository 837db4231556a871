import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SocketConnection } from '../../src/store/postgres/open.ts';

export interface ServeConfig {
  readonly issuerPort: number;
  readonly connection: SocketConnection;
  /** Where the socket is, if not where the connection says. */
  readonly socketDirectory?: string;
  /** More lines of configuration. */
  readonly more?: readonly string[];
}

/** A configuration for `countersign serve` on a database of this run, with a root key beside it. Gives back its path. */
export async function writeServeConfig(directory: string, options: ServeConfig): Promise<string> {
  const { user, password, database, port } = options.connection;
  const host = options.socketDirectory ?? options.connection.socketDirectory;
  const rootKey = join(directory, 'root.key');
  // Nodes of one installation share it.
  await writeFile(rootKey, randomBytes(32).toString('base64'), { mode: 0o600, flag: 'wx' }).catch(() => {});
  const url = `postgres://${user}:${password}@/${database}?host=${encodeURIComponent(host)}&port=${port}`;
  const file = join(directory, `serve-${options.issuerPort}-${randomBytes(4).toString('hex')}.yaml`);
  const lines = [
    `issuer: http://localhost:${options.issuerPort}`,
    'mode: single_operator',
    `root_key_file: ${rootKey}`,
    // The PostgreSQL of the tests does not sync.
    `database: { url: "${url}", durability: assumed }`,
    'fetch_allowed_hosts: ["localhost:*", "127.0.0.1:*"]',
    ...(options.more ?? []),
  ];
  await writeFile(file, `${lines.join('\n')}\n`);
  return file;
}
