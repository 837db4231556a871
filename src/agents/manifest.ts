import type { JsonObject } from '../kernel/json.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import { manifestDigest, type RiskClass, type ToolDefinition } from '../wire/manifest.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { TOOL_DEFINITION_BYTES_MAX, TOOLS_PER_SERVER_MAX } from './limits.ts';

export interface ListedTool {
  readonly name: string;
  readonly definition: ToolDefinition;
  readonly digest: string;
}

/** Checks a reported tool list: distinct names, an input schema each, bounded in count and size. */
export function readManifest(tools: readonly JsonObject[]): Result<readonly ListedTool[], Refusal> {
  if (tools.length > TOOLS_PER_SERVER_MAX) {
    return refused(refusal('request_invalid', `At most ${TOOLS_PER_SERVER_MAX} tools can be registered.`));
  }
  const listed = new Map<string, ListedTool>();
  for (const tool of tools) {
    const { name, inputSchema } = tool;
    if (typeof name !== 'string' || name === '' || name.length > 512) {
      return refused(refusal('request_invalid', 'Every tool needs a name of 1 to 512 characters.'));
    }
    if (typeof inputSchema !== 'object' || inputSchema === null || Array.isArray(inputSchema)) {
      return refused(refusal('request_invalid', `The tool "${name}" has no input schema.`));
    }
    if (listed.has(name)) return refused(refusal('request_invalid', `The tool "${name}" is listed twice.`));
    if (Buffer.byteLength(JSON.stringify(tool)) > TOOL_DEFINITION_BYTES_MAX) {
      return refused(refusal('body_too_large', `The definition of the tool "${name}" is larger than 64 KiB.`));
    }
    const definition = tool as ToolDefinition;
    listed.set(name, { name, definition, digest: manifestDigest(definition) });
  }
  return accepted([...listed.values()]);
}

/** A tool nobody classed has the highest class (design §2). */
export function riskOf(name: string, proposed: Readonly<Record<string, RiskClass>>): RiskClass {
  return Object.hasOwn(proposed, name) ? proposed[name]! : 'critical';
}
