import { append } from '../events/append.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import type { RiskClass } from '../wire/manifest.ts';

/** Who accepted which definition of a tool, as which class, and which class it had: what decides whether people are asked. */
export async function recordAcceptedTool(
  store: Store,
  tx: Tx,
  afterCommit: AfterCommit,
  tool: {
    readonly toolServerId: string;
    readonly name: string;
    readonly digest: string;
    readonly risk: RiskClass;
    /** Null for a tool that was not accepted before. */
    readonly riskBefore: RiskClass | null;
    readonly by: string;
  },
): Promise<void> {
  await append(store, tx, afterCommit, {
    kind: 'tool.accepted',
    ids: {
      tool_server: tool.toolServerId,
      tool: tool.name,
      manifest_digest: tool.digest,
      risk: tool.risk,
      risk_before: tool.riskBefore,
      person: tool.by,
    },
  });
}
