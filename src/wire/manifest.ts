import { canonicalJson } from '../kernel/canonical_json.ts';
import type { JsonObject } from '../kernel/json.ts';
import { labelledDigest } from './labelled_digest.ts';

/**
 * A tool as its server lists it (MCP `tools/list`), untouched: every member counts for the digest, known to us or not.
 */
export interface ToolDefinition extends JsonObject {
  readonly name: string;
  readonly description?: string;
  readonly inputSchema: JsonObject;
}

/** Risk as the tool's owner classed it; an unlisted or unknown tool counts as `critical`. Ordered from least to most. */
export const RISK_CLASSES = ['read', 'write', 'critical'] as const;
export type RiskClass = (typeof RISK_CLASSES)[number];

const MANIFEST_LABEL = 'countersign-manifest/1';

/**
 * What a tool's owner accepted: the whole definition as listed and the template of the sentence people read. Any change
 * of either, even in a member we do not know, gives another digest and closes the tool until its owner accepts it.
 */
export function manifestDigest(tool: ToolDefinition, displayTemplate?: string): string {
  return labelledDigest(MANIFEST_LABEL, canonicalJson({ tool, display_template: displayTemplate ?? null }));
}
