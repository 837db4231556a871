import type { JsonObject } from '../kernel/json.ts';

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
