import { resolve } from 'node:path';
import { importJWK, type JWK } from 'jose';
import { type ClientAuth, PrivateKeyJwt } from 'openid-client';
import type { Config } from '../config.ts';
import type { Logger } from '../kernel/logger.ts';
import type { SafeFetch } from '../kernel/safe_fetch.ts';
import { readSecretFile } from '../kernel/secret_file.ts';
import { bySecret, createUpstreamClient } from '../people/upstream/client.ts';
import { createUpstreamProviders, type UpstreamProviders } from '../people/upstream/providers.ts';
import type { UpstreamSettings } from '../people/upstream/settings_schema.ts';

/** An identity provider cannot be used as it is configured; the message says what to change. */
export class UpstreamConfigError extends Error {
  override name = 'UpstreamConfigError';
}

/** The providers of the configuration. None is asked for anything yet: one that is down keeps nobody from starting. */
export async function openUpstream(config: Config, fetch: SafeFetch, log: Logger): Promise<UpstreamProviders> {
  const clients = [];
  for (const settings of config.sign_in.providers) {
    clients.push(createUpstreamClient(settings, await authenticationOf(settings), fetch));
  }
  return createUpstreamProviders(clients, log);
}

async function authenticationOf(settings: UpstreamSettings): Promise<ClientAuth> {
  const { id, client_secret_file, private_key_file } = settings;
  const file = client_secret_file ?? private_key_file!;
  const key = client_secret_file === null ? 'private_key_file' : 'client_secret_file';
  const place = `sign_in.providers (${id}): ${key}`;
  const read = await readSecretFile(resolve(file));
  if (!read.ok) throw new UpstreamConfigError(`${place}: ${read.refusal.message}`);
  const text = read.value.trim();
  if (text === '') throw new UpstreamConfigError(`${place}: The file ${file} is empty.`);
  return client_secret_file === null ? byPrivateKey(text, `${place}: ${file}`) : bySecret(text);
}

async function byPrivateKey(text: string, place: string): Promise<ClientAuth> {
  try {
    const jwk = JSON.parse(text) as JWK;
    if (jwk.alg === undefined || jwk.kty === 'oct') throw new Error('alg is missing');
    const key = await importJWK(jwk);
    if (key instanceof Uint8Array || key.type !== 'private') throw new Error('no private key');
    return PrivateKeyJwt({ key, ...(jwk.kid === undefined ? {} : { kid: jwk.kid }) });
  } catch {
    // What was wrong with it may be part of the key, so it is not repeated.
    throw new UpstreamConfigError(`${place} must hold one private key as a JWK with "alg", for example ES256.`);
  }
}
