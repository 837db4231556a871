import { Pool } from 'undici';
import { clientAssertion } from '../../src/wire/client_assertion_rfc7523.ts';
import { importSigningKey } from '../../src/wire/signing_key.ts';
import { type Run, summarize } from './figures.ts';
import { REQUEST_TIMEOUT_MS } from './limits.ts';
import type { Bounds, LoadAnswer, LoadJob, PostJob, SpreadJob, StdioJob, TokenJob } from './load.ts';
import { connectStdio } from './stdio_client.ts';

type SendOne = (index: number, sender: number) => Promise<void>;

/** `connections` senders, each with one request at a time, until the time is up or all requests are sent. */
async function measure(job: Bounds, sendOne: SendOne): Promise<Run> {
  const latencies: number[] = [];
  const startedAt = performance.now();
  const endsAt = startedAt + job.milliseconds;
  let next = 0;
  await Promise.all(
    Array.from({ length: job.connections }, async (_, sender) => {
      while (next < job.requestsMax && performance.now() < endsAt) {
        const index = next++;
        const sentAt = performance.now();
        await sendOne(index, sender);
        latencies.push(performance.now() - sentAt);
      }
    }),
  );
  return summarize(latencies, performance.now() - startedAt);
}

async function overHttp(url: string, connections: number, use: (post: Post) => Promise<Run>): Promise<Run> {
  const { origin, pathname: path } = new URL(url);
  const pool = new Pool(origin, { connections, headersTimeout: REQUEST_TIMEOUT_MS, bodyTimeout: REQUEST_TIMEOUT_MS });
  try {
    return await use(async (headers, body, expected) => {
      const response = await pool.request({ method: 'POST', path, headers, body });
      const text = await response.body.text();
      if (response.statusCode === 200 && text.includes(expected)) return;
      throw new Error(`${url} answered ${response.statusCode}: ${text.slice(0, 500)}`);
    });
  } finally {
    await pool.close();
  }
}

type Post = (headers: Readonly<Record<string, string>>, body: string, expected: string) => Promise<void>;

function runPosts(job: PostJob): Promise<Run> {
  return overHttp(job.url, job.connections, (post) => measure(job, () => post(job.headers, job.body, job.expected)));
}

async function runTokens(job: TokenJob): Promise<Run> {
  const key = await importSigningKey(job.key);
  const bodies: string[] = [];
  for (let count = 0; count < job.requestsMax; count += 1) {
    const assertion = await clientAssertion(key, job, new Date());
    bodies.push(new URLSearchParams({ ...job.form, grant_type: 'client_credentials', ...assertion }).toString());
  }
  const { host } = new URL(job.issuer);
  const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json', host };
  return overHttp(job.url, job.connections, (post) =>
    measure(job, (index) => post(headers, bodies[index] ?? '', '"access_token"')),
  );
}

/** Each sender keeps one connection to one server, as a guard does. */
async function runSpread({ addresses, host, path, requests, expected, ...job }: SpreadJob): Promise<Run> {
  const pools = addresses.map((address) => new Pool(address, { headersTimeout: REQUEST_TIMEOUT_MS }));
  try {
    return await measure({ ...job, requestsMax: requests.length }, async (index, sender) => {
      const pool = pools[sender % pools.length] as Pool;
      const { headers, body } = requests[index] ?? { headers: {}, body: '' };
      const response = await pool.request({ method: 'POST', path, headers: { ...headers, host }, body });
      const text = await response.body.text();
      if (response.statusCode === 200 && text.includes(expected)) return;
      throw new Error(`${path} answered ${response.statusCode}: ${text.slice(0, 500)}`);
    });
  } finally {
    await Promise.all(pools.map((pool) => pool.close()));
  }
}

async function runStdio(job: StdioJob): Promise<Run> {
  const client = await connectStdio(job.command);
  try {
    return await measure(job, async () => {
      const text = await client.request('tools/call', job.params);
      if (!text.includes(job.expected)) throw new Error(`The stdio server answered ${text.slice(0, 500)}`);
    });
  } finally {
    client.close();
  }
}

function run(job: LoadJob): Promise<Run> {
  switch (job.kind) {
    case 'post':
      return runPosts(job);
    case 'token':
      return runTokens(job);
    case 'stdio':
      return runStdio(job);
    case 'spread':
      return runSpread(job);
  }
}

process.on('message', (job: LoadJob) => {
  const tell = (answer: LoadAnswer) => process.send?.(answer);
  run(job).then(
    (found) => tell({ run: found }),
    (error: Error) => tell({ problem: error.stack ?? error.message }),
  );
});
process.on('disconnect', () => process.exit(0));
process.send?.({});
