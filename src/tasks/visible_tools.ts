import type { PolicyBook } from '../agents/policy_book.ts';
import type { ToolServer } from '../agents/tool_servers.ts';
import { accepted, type Result } from '../kernel/result.ts';
import type { Store } from '../store/store.ts';
import type { AccessTokenClaims } from '../wire/claims.ts';
import type { Principal } from '../wire/guard_api.ts';
import type { Refusal } from '../wire/refusals.ts';
import { loadCallChain } from './principal.ts';

/** Of the tools a server lists now, those this caller's task includes and whose definition is the accepted one. */
export async function visibleTools(
  store: Store,
  book: PolicyBook,
  input: {
    readonly server: ToolServer;
    readonly claims: AccessTokenClaims;
    readonly tools: readonly { readonly name: string; readonly manifest_digest: string }[];
  },
): Promise<Result<{ principal: Principal; tools: string[] }, Refusal>> {
  const chain = await loadCallChain(store, input.claims);
  if (!chain.ok) return chain;
  const policy = await book.compiledFor(store, input.server);
  if (!policy.ok) return policy;
  const inTask = new Set(chain.value.task.tools[input.server.id] ?? []);
  const names = input.tools
    .filter((tool) => inTask.has(tool.name) && policy.value.pins.get(tool.name)?.digest === tool.manifest_digest)
    .map((tool) => tool.name);
  return accepted({ principal: chain.value.principal, tools: names });
}
