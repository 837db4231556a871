import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeJwt, exportJWK, generateKeyPair, type JWK } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { createSafeFetch } from '../../src/kernel/safe_fetch.ts';
import { newTrip } from '../../src/people/upstream/trip.ts';
import { openUpstream, UpstreamConfigError } from '../../src/server/upstream.ts';
import { type RogueProvider, startRogueProvider } from '../people/upstream/rogue_provider.ts';
import { makeScratchDirectory } from '../support/scratch.ts';

let folder: string;
let provider: RogueProvider;
let key: JWK;

beforeAll(async () => {
  folder = await makeScratchDirectory('upstream');
  provider = await startRogueProvider();
  key = {
    ...(await exportJWK((await generateKeyPair('ES256', { extractable: true })).privateKey)),
    alg: 'ES256',
    kid: 'k',
  };
});
afterAll(() => provider.close());

async function open(member: 'private_key_file' | 'client_secret_file', text: string) {
  const file = join(folder, `${member}-${Math.random()}`);
  await writeFile(file, text, { mode: 0o600 });
  const known = { id: 'corp', name: 'Corp', issuer: provider.issuer, client_id: 'countersign', new_people: 'anyone' };
  const parsed = parseConfig({
    text: 'issuer: http://localhost:9400\n',
    overrides: { 'sign_in.providers': [{ ...known, [member]: file }] },
  });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.refusal));
  return openUpstream(parsed.value, createSafeFetch({ allowedHosts: [provider.host] }), silentLogger);
}

async function tokenRequest(upstream: Awaited<ReturnType<typeof open>>, metadata: Record<string, unknown>) {
  provider.lie({ metadata });
  const trip = newTrip('corp', null);
  const begun = await upstream.begin(trip, 'http://localhost:9400/sign-in/callback/corp');
  if (!begun.ok) throw new Error(begun.refusal.message);
  expect(await upstream.finish(trip, provider.answerTo(begun.value))).toMatchObject({ ok: true });
  return provider.tokenRequests.at(-1)!;
}

describe('how this server proves to a provider that it is the client', () => {
  test('by a signature of its own key, for this provider only', async () => {
    const { authorization, form } = await tokenRequest(await open('private_key_file', JSON.stringify(key)), {});
    expect(authorization).toBeUndefined();
    expect(form.get('client_assertion_type')).toBe('urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
    expect(decodeJwt(form.get('client_assertion')!)).toMatchObject({ iss: 'countersign', aud: provider.issuer });
  });

  test('by its secret, where the provider says it takes it', async () => {
    const inHeader = await tokenRequest(await open('client_secret_file', 'hush\n'), {});
    expect(Buffer.from(inHeader.authorization!.split(' ')[1]!, 'base64').toString()).toBe('countersign:hush');
    const methods = { token_endpoint_auth_methods_supported: ['client_secret_post'] };
    const inBody = await tokenRequest(await open('client_secret_file', 'hush\n'), methods);
    expect([inBody.authorization, inBody.form.get('client_secret')]).toEqual([undefined, 'hush']);
  });

  test('with PKCE in any case', async () => {
    const { form } = await tokenRequest(await open('client_secret_file', 'hush'), {});
    expect(form.get('code_verifier')).toMatch(/^[A-Za-z0-9_-]{43}$/);
  });
});

test('a file that holds no private key refuses the start, and is not repeated', async () => {
  const { d: _, ...publicKey } = key;
  const { alg: __, ...unnamed } = key;
  const secret = { kty: 'oct', k: 'c2VjcmV0', alg: 'HS256' };
  for (const text of [JSON.stringify(publicKey), JSON.stringify(unnamed), JSON.stringify(secret), 'not even JSON']) {
    const failure = await open('private_key_file', text).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UpstreamConfigError);
    expect((failure as Error).message).toMatch(/private_key_file.*one private key as a JWK with "alg"/);
    expect((failure as Error).message).not.toContain(key.d);
  }
});
