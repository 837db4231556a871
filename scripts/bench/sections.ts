import { measureClicks } from './click.ts';
import { measureMemory } from './held_calls.ts';
import { startLoadGenerator } from './load.ts';
import { measureNodes } from './nodes.ts';
import { measureOffboarding } from './offboard.ts';
import { measureRecovery } from './recovery.ts';
import { measureRedeem } from './redeem.ts';
import { clicksTable, comparedTable, startsTable, tokensTable } from './report.ts';
import { memoryTable, nodesTable, offboardTable, recoveryTable, redeemTable, revocationTable } from './report_nodes.ts';
import { measureRevocation } from './revocation.ts';
import type { SectionName } from './section_names.ts';
import { setStage } from './stage.ts';
import { measureStarts } from './start_up.ts';
import { compareTokenEndpoints } from './token_endpoint.ts';
import { setTokenStage } from './token_stage.ts';
import { compareToolCalls } from './tool_calls.ts';

type Closing = (() => Promise<unknown>)[];

/** Each starts what it needs and leaves its closing behind; nothing of one section runs while another is measured. */
const SECTIONS: Readonly<Record<SectionName, (closing: Closing) => Promise<string>>> = {
  starts: async () => startsTable(await measureStarts()),
  tokens: async (closing) => {
    const load = await startLoad(closing);
    const nodes = await setTokenStage(closing);
    return tokensTable(await compareTokenEndpoints(load, await setStage(closing), nodes));
  },
  calls: async (closing) => {
    const load = await startLoad(closing);
    return comparedTable(await compareToolCalls(load, await setStage(closing)));
  },
  clicks: async (closing) => clicksTable(await measureClicks(await setStage(closing))),
  nodes: async (closing) => nodesTable(await measureNodes(await startLoad(closing), closing)),
  redeem: async (closing) => redeemTable(await measureRedeem(closing)),
  revocation: async (closing) => revocationTable(await measureRevocation(closing)),
  offboard: async (closing) => offboardTable(await measureOffboarding(closing)),
  recovery: async (closing) => recoveryTable(await measureRecovery(closing)),
  memory: async (closing) => memoryTable(await measureMemory(closing)),
};

/** A section that fails is told and leaves the others their turn. */
export async function measureSections(
  names: readonly SectionName[],
  say: (line: string) => void,
): Promise<{ readonly tables: ReadonlyMap<SectionName, string>; readonly hasFailed: boolean }> {
  const tables = new Map<SectionName, string>();
  let hasFailed = false;
  for (const name of names) {
    const startedAt = performance.now();
    const closing: Closing = [];
    try {
      tables.set(name, await SECTIONS[name](closing));
      say(`${name}: ${Math.round((performance.now() - startedAt) / 1000)} s`);
    } catch (error) {
      hasFailed = true;
      say(`${name} failed: ${(error as Error).stack}`);
    } finally {
      for (const close of closing.reverse()) await close().catch((error: Error) => say(error.message));
    }
  }
  return { tables, hasFailed };
}

async function startLoad(closing: Closing) {
  const load = await startLoadGenerator();
  closing.push(() => load.stop());
  return load;
}
