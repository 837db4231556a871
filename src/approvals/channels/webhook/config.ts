import { resolve } from 'node:path';
import { readSecretFile } from '../../../kernel/secret_file.ts';
import { parseSecret } from './signature.ts';

/** The webhook cannot be used as it is configured; the message says what to change. */
export class WebhookConfigError extends Error {
  override name = 'WebhookConfigError';
}

export interface WebhookSettings {
  readonly url: URL;
  /** The first signs for receivers that changed already; a second for those that did not. */
  readonly keys: readonly Buffer[];
}

const SECRETS_MAX = 2;
const MAKE_ONE = 'Make one: echo "whsec_$(openssl rand -base64 32)"';

/** `channels.webhook` of the configuration, checked before the server starts; null where nobody is to be told. */
export async function readWebhookSettings(
  webhook: { readonly url: string | null; readonly secret_file: string | null },
  allowedHosts: readonly string[],
): Promise<WebhookSettings | null> {
  if (webhook.url === null) return null;
  const url = checkUrl(webhook.url, allowedHosts);
  if (webhook.secret_file === null) {
    throw new WebhookConfigError(
      'channels.webhook.url is set, but channels.webhook.secret_file is not: without a signature the receiver could not ' +
        `tell our messages from anybody's. ${MAKE_ONE} into a file of mode 600, and give the receiver the same.`,
    );
  }
  return { url, keys: await readKeys(resolve(webhook.secret_file)) };
}

function checkUrl(text: string, allowedHosts: readonly string[]): URL {
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') {
    throw new WebhookConfigError(
      'channels.webhook.url must be without user name and password: addresses end up in logs. The signature tells the ' +
        'receiver who sends.',
    );
  }
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  const isAllowed = allowedHosts.includes(`${url.hostname}:${port}`) || allowedHosts.includes(`${url.hostname}:*`);
  if (url.protocol === 'https:' || (url.protocol === 'http:' && isAllowed)) return url;
  throw new WebhookConfigError(
    `channels.webhook.url must use https, not ${url.protocol.slice(0, -1)}: names of people and links are in it. For a ` +
      `receiver on a trusted network, add ${url.hostname}:${port} to fetch_allowed_hosts.`,
  );
}

async function readKeys(path: string): Promise<Buffer[]> {
  const read = await readSecretFile(path);
  if (!read.ok) throw new WebhookConfigError(`channels.webhook.secret_file: ${read.refusal.message}`);
  const lines = read.value
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const keys = lines.map(parseSecret);
  if (keys.length === 0 || keys.length > SECRETS_MAX || keys.includes(undefined)) {
    throw new WebhookConfigError(
      `channels.webhook.secret_file: ${path} must hold one secret, "whsec_" and 24 to 64 bytes in base64, or two on two ` +
        `lines while the receiver changes from one to the other. ${MAKE_ONE}`,
    );
  }
  return keys as Buffer[];
}
