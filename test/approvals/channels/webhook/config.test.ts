import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { readWebhookSettings, WebhookConfigError } from '../../../../src/approvals/channels/webhook/config.ts';
import { makeScratchDirectory } from '../../../support/scratch.ts';
import { SECRET } from './receiver.ts';

const URL_OF_RECEIVER = 'https://hooks.example.com/countersign';
const OLD_SECRET = `whsec_${Buffer.alloc(24, 3).toString('base64')}`;
let folder: string;
beforeAll(async () => {
  folder = await makeScratchDirectory('webhook');
});

async function file(text: string, mode = 0o600): Promise<string> {
  const path = join(folder, `secret-${Math.random()}`);
  await writeFile(path, text);
  await chmod(path, mode);
  return path;
}

async function problem(webhook: { url?: string; secret_file?: string | null }, allowed: string[] = []) {
  const settings = { url: URL_OF_RECEIVER, secret_file: null, ...webhook };
  const error = await readWebhookSettings(settings, allowed).then(
    () => 'accepted',
    (thrown: unknown) => thrown,
  );
  if (error === 'accepted') return error;
  expect(error).toBeInstanceOf(WebhookConfigError);
  return (error as Error).message;
}

describe('the configuration of the webhook', () => {
  test('none is none', async () => {
    expect(await readWebhookSettings({ url: null, secret_file: null }, [])).toBeNull();
  });

  test('one secret, or two while the receiver changes over', async () => {
    const one = await readWebhookSettings({ url: URL_OF_RECEIVER, secret_file: await file(`${SECRET}\n`) }, []);
    expect(one).toMatchObject({ keys: [Buffer.alloc(32, 9)] });
    const two = await file(`${SECRET}\n${OLD_SECRET}\n`);
    const both = await readWebhookSettings({ url: URL_OF_RECEIVER, secret_file: two }, []);
    expect(both?.keys).toEqual([Buffer.alloc(32, 9), Buffer.alloc(24, 3)]);
  });

  test('an address without a secret is refused, and told how to make one', async () => {
    expect(await problem({})).toMatch(/secret_file is not.*openssl rand/s);
  });

  test.each([
    ['http://hooks.example.com/', /must use https, not http/],
    ['http://127.0.0.1:8080/', /add 127\.0\.0\.1:8080 to fetch_allowed_hosts/],
    ['file:///etc/passwd', /must use https, not file/],
    ['https://user:hunter2@hooks.example.com/', /without user name and password/],
  ])('%s is refused', async (url, message) => {
    const told = await problem({ url, secret_file: await file(SECRET) });
    expect(told).toMatch(message);
    expect(told).not.toContain('hunter2');
  });

  test('plain http is accepted for an allowed host and its port only', async () => {
    const secret_file = await file(SECRET);
    const url = 'http://127.0.0.1:8080/';
    expect(await problem({ url, secret_file }, ['127.0.0.1:8080'])).toBe('accepted');
    expect(await problem({ url, secret_file }, ['127.0.0.1:*'])).toBe('accepted');
    expect(await problem({ url, secret_file }, ['127.0.0.1:8081'])).toMatch(/https/);
  });

  test.each([
    ['empty', ''],
    ['without prefix', SECRET.slice('whsec_'.length)],
    ['with three secrets', `${SECRET}\n${SECRET}\n${SECRET}`],
    ['with one bad line', `${SECRET}\nwhsec_short`],
  ])('a file %s is refused without showing it', async (_, text) => {
    const told = await problem({ secret_file: await file(text) });
    expect(told).toMatch(/must hold one secret/);
    expect(told).not.toContain(SECRET.slice(8, 20));
  });

  test('a file that is missing or that others can read is refused', async () => {
    expect(await problem({ secret_file: join(folder, 'missing') })).toMatch(/cannot be read.*ENOENT/);
    for (const mode of [0o604, 0o660, 0o622]) {
      expect(await problem({ secret_file: await file(SECRET, mode) }), mode.toString(8)).toMatch(/chmod 600/);
    }
  });

  test.runIf(process.getuid?.() === 0)('the group may read where root owns the file, as systemd does it', async () => {
    expect(await problem({ secret_file: await file(SECRET, 0o440) })).toBe('accepted');
  });
});
