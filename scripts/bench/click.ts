import { setTimeout as sleep } from 'node:timers/promises';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { callWithApproval } from '../../src/agent/index.ts';
import { type Run, summarize } from './figures.ts';
import { CLICKS, CLICKS_WARM_UP } from './limits.ts';
import { RAN, WRITE_TOOL } from './notes_server.ts';
import type { Stage } from './stage.ts';

// Long enough for the guard to be waiting when the click comes, as it is when a person reads the page.
const READING_MS = 30;

/** From the POST of an approval to the result of the call that was held for it, through the guard. */
export async function measureClicks(stage: Stage): Promise<Run> {
  const { agent, guarded, tasks } = stage;
  const client = new Client({ name: 'bench', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
  const authProvider = agent.authProvider(tasks.get(guarded) ?? '', guarded);
  await client.connect(new StreamableHTTPClientTransport(new URL(guarded), { authProvider }));
  const latencies: number[] = [];
  const startedAt = performance.now();
  for (let count = -CLICKS_WARM_UP; count < CLICKS; count += 1) {
    const latency = await clickOnce(stage, client, `notes/${count}.md`);
    if (count >= 0) latencies.push(latency);
  }
  const elapsed = performance.now() - startedAt;
  await client.close();
  return summarize(latencies, elapsed);
}

async function clickOnce({ operator }: Stage, client: Client, path: string): Promise<number> {
  const clicked = Promise.withResolvers<number>();
  const click = async (approvalUrl: string) => {
    const page = await operator.open(approvalUrl);
    await sleep(READING_MS);
    const clickedAt = performance.now();
    const answer = operator.submit(page, { action: /\/decision$/, having: { decision: 'approve' } });
    clicked.resolve(clickedAt);
    const { status } = await answer;
    if (status !== 200) throw new Error(`The decision was answered ${status}.`);
  };
  let decision: Promise<void> | undefined;
  const params = { name: WRITE_TOOL, arguments: { path, text: 'Buy milk.' } };
  const result = await callWithApproval(client, params, {
    onWaiting: ({ approvalUrl }) => {
      decision = click(approvalUrl);
      decision.catch(clicked.reject);
    },
  });
  const resumedAt = performance.now();
  if (!JSON.stringify(result).includes(RAN)) throw new Error(`The held call answered ${JSON.stringify(result)}`);
  const clickedAt = await clicked.promise;
  await decision;
  return resumedAt - clickedAt;
}
