import { wireAction } from '../../src/guard/action.ts';
import { type DecisionPoint, decisionPoint } from '../../src/guard/decision_point.ts';
import { discovery } from '../../src/guard/discovery.ts';
import { guardTokenSource } from '../../src/guard/guard_token.ts';
import { issuerLink } from '../../src/guard/issuer_link.ts';
import { deploymentId } from '../../src/wire/action_digest.ts';
import { generateDpopKey } from '../../src/wire/dpop_rfc9449.ts';
import type { EvaluateRequest } from '../../src/wire/guard_api.ts';
import { manifestDigest, type ToolDefinition } from '../../src/wire/manifest.ts';
import { importSigningKey } from '../../src/wire/signing_key.ts';
import type { NotesServer } from './guarded_notes.ts';
import type { World } from './world.ts';

export interface GuardCredentials {
  /** The interface of guards, with this guard's own credentials and nobody's judgement in between. */
  readonly point: DecisionPoint;
  /** A call as this guard describes it. */
  describe(name: string, args: Record<string, unknown>): Promise<EvaluateRequest['action']>;
  close(): Promise<void>;
}

/** What somebody who stole a guard's key could do, or a guard that was taken over. */
export async function takeOver(world: World, notes: NotesServer): Promise<GuardCredentials> {
  const { issuer, store } = world;
  const key = await importSigningKey(notes.key);
  const dpopKey = await generateDpopKey();
  const metadata = discovery(issuer);
  const clientId = `guard-${notes.toolServerId}`;
  const token = guardTokenSource({ issuer, metadata, key, dpopKey, clientId: () => clientId });
  const link = issuerLink(issuer, token, dpopKey);
  const deployment = deploymentId({ kind: 'in_process', name: notes.name, version: '1' });
  return {
    point: decisionPoint(link),
    describe: async (name, args) => {
      const tool = await store.db
        .selectFrom('tools')
        .select('definition')
        .where('tool_server_id', '=', notes.toolServerId)
        .where('name', '=', name)
        .executeTakeFirstOrThrow();
      const asked = { method: 'tools/call', name, arguments: args as never, inputResponses: null } as const;
      const digest = manifestDigest(tool.definition as unknown as ToolDefinition);
      return wireAction({ issuer, resource: notes.resource, deployment }, asked, digest, {});
    },
    close: () => link.close(),
  };
}
