import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Koa from 'koa';
import { expect, test } from 'vitest';
import { silentLogger } from '../../src/kernel/logger.ts';
import { answerFailedSteps } from '../../src/provider/outage.ts';

const TOKEN = 'a-token-that-was-not-recorded';

/** What a client is answered when a step fails after the engine has made its answer. */
async function answerTo(error: Error) {
  const app = new Koa();
  app.use(answerFailedSteps(silentLogger));
  app.use((ctx) => {
    ctx.body = { access_token: TOKEN };
    ctx.redirect(`http://127.0.0.1/callback?code=${TOKEN}`);
    throw error;
  });
  const server = createServer(app.callback());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
    const answer = await fetch(url, { redirect: 'manual' });
    return { status: answer.status, headers: answer.headers, text: await answer.text() };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test('a database that is gone when a token is recorded is an outage, and the token is not handed out', async () => {
  const lost = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
  const { status, headers, text } = await answerTo(lost);
  expect(status).toBe(503);
  expect(headers.get('retry-after')).toMatch(/^\d+$/);
  expect(JSON.parse(text)).toMatchObject({ error: 'temporarily_unavailable' });
  expect(text + [...headers.values()].join()).not.toContain(TOKEN);
});

test('a bug is a server error that tells nothing', async () => {
  const { status, headers, text } = await answerTo(new TypeError(`no such thing: ${TOKEN}`));
  expect(status).toBe(500);
  expect(JSON.parse(text)).toMatchObject({ error: 'server_error' });
  expect(text + [...headers.values()].join()).not.toContain(TOKEN);
});
