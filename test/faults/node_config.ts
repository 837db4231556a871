import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Receiver } from '../approvals/channels/webhook/receiver.ts';
import { SECRET } from '../approvals/channels/webhook/receiver.ts';
import type { TestDatabase } from '../support/database.ts';
import { makeScratchDirectory } from '../support/scratch.ts';

/** The root key of `createTestStore`, so that a test can make step-ups that a real server then serves. */
const ROOT_KEY = Buffer.alloc(32, 7).toString('base64');

export interface NodeConfig {
  readonly file: string;
  readonly text: string;
}

/** The configuration of servers on a test database, which tell a receiver. Writes ask any administrator. */
export async function nodeConfig(options: {
  readonly issuer: string;
  readonly database: Pick<TestDatabase, 'connection'>;
  readonly receiver: Pick<Receiver, 'url' | 'host'>;
}): Promise<NodeConfig> {
  const root = await makeScratchDirectory('node');
  const file = join(root, 'countersign.yaml');
  const secret = (name: string, text: string) => writeFile(join(root, name), `${text}\n`, { mode: 0o600 });
  await Promise.all([secret('root.key', ROOT_KEY), secret('webhook.secret', SECRET)]);
  const { user, password, database, socketDirectory, port } = options.database.connection;
  const url = `postgres://${user}:${encodeURIComponent(password)}@/${database}?host=${encodeURIComponent(socketDirectory)}&port=${port}`;
  const text = [
    `issuer: ${options.issuer}`,
    'listen: { port: 0 }',
    // The PostgreSQL of the tests does not sync.
    `database: { url: '${url}', pool_max: 6, durability: assumed }`,
    `root_key_file: ${join(root, 'root.key')}`,
    `policies: ${await policyFolder(root)}`,
    `channels: { webhook: { url: '${options.receiver.url}', secret_file: '${join(root, 'webhook.secret')}' } }`,
    `fetch_allowed_hosts: ['${options.receiver.host}']`,
    'overload: { requests_max: 1000 }',
    'log_level: warn',
  ].join('\n');
  await writeFile(file, text);
  return { file, text };
}

/** The default policies, but writes ask administrators, of whom there can be many, and none needs a passkey for it. */
export async function policyFolder(root: string, quorum = 1): Promise<string> {
  const folder = join(root, 'policies');
  await mkdir(folder, { recursive: true });
  const text = await readFile('config/policies/default.cedar', 'utf8');
  const changed = text
    .replace('@approvers("requester")', '@approvers("administrators")')
    .replace('@quorum("1")', `@quorum("${quorum}")`);
  await writeFile(join(folder, 'default.cedar'), changed);
  return folder;
}
