import { resolve } from 'node:path';
import type { Config } from '../config.ts';
import { readSecretFile } from '../kernel/secret_file.ts';
import { CLIENT_SECRET_CHARACTERS_MAX, CLIENT_SECRET_CHARACTERS_MIN } from './limits.ts';

/** The secret of a client cannot be used as it is configured; the message says what to change. */
export class ClientSecretError extends Error {
  override name = 'ClientSecretError';
}

/** The secrets of those clients that are configured to have one, by client id. */
export async function readClientSecrets({ clients }: Pick<Config, 'clients'>): Promise<ReadonlyMap<string, string>> {
  const secrets = new Map<string, string>();
  for (const { client_id, client_secret_file: file } of clients) {
    if (file !== null) secrets.set(client_id, await readSecret(client_id, resolve(file)));
  }
  return secrets;
}

async function readSecret(clientId: string, path: string): Promise<string> {
  const problem = (words: string) => new ClientSecretError(`client_secret_file of the client "${clientId}": ${words}`);
  const read = await readSecretFile(path);
  if (!read.ok) throw problem(read.refusal.message);
  const secret = read.value.trim();
  const isFit = secret.length >= CLIENT_SECRET_CHARACTERS_MIN && secret.length <= CLIENT_SECRET_CHARACTERS_MAX;
  // RFC 6749 Appendix A.2; and what can be guessed is no secret.
  if (!isFit || !/^[\x20-\x7e]+$/.test(secret) || new Set(secret).size < 10) {
    throw problem(
      `the file must hold one secret of ${CLIENT_SECRET_CHARACTERS_MIN} to ${CLIENT_SECRET_CHARACTERS_MAX} random ` +
        'characters. Make one: openssl rand -base64 32',
    );
  }
  return secret;
}
