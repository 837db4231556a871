import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { explainFailure } from '../../src/cli/fail.ts';
import { type Config, parseConfig, rulesOf } from '../../src/config.ts';
import { openChannels } from '../../src/server/channels.ts';
import { SECRET } from '../approvals/channels/webhook/receiver.ts';
import { makeScratchDirectory } from '../support/scratch.ts';

function configOf(webhook: string): Config {
  const parsed = parseConfig({ text: `issuer: http://localhost:9400\nchannels: { webhook: ${webhook} }` });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.refusal));
  return parsed.value;
}

test('the channels that open are those the outbox writes for', async () => {
  const none = configOf('{}');
  expect([await openChannels(none), rulesOf(none).channels]).toEqual([[], []]);
  const path = join(await makeScratchDirectory('channels'), 'webhook.secret');
  await writeFile(path, SECRET, { mode: 0o600 });
  const one = configOf(`{ url: 'https://hooks.example.com/', secret_file: '${path}' }`);
  expect((await openChannels(one)).map((channel) => channel.name)).toEqual(rulesOf(one).channels);
  expect(rulesOf(one).channels).toEqual(['webhook']);
});

test('a webhook that cannot be used refuses the start in words, not as a bug', async () => {
  const error = await openChannels(configOf("{ url: 'http://hooks.example.com/' }")).catch((thrown: unknown) => thrown);
  expect(explainFailure(error)).toMatch(/^channels\.webhook\.url must use https.*fetch_allowed_hosts\.$/s);
});
