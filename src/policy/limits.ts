/** Policy sources. A set beyond these is refused when it is loaded, never when a call waits for it. */
export const POLICY_FILES_MAX = 64;
export const POLICY_SOURCE_BYTES_MAX = 256 * 1024;
export const POLICIES_MAX = 1_000;
/** Cedar's parser breaks at about 150 nested parentheses, and its evaluator at about 350 chained operators. */
export const POLICY_BRACKET_DEPTH_MAX = 32;
export const POLICY_EXPRESSION_DEPTH_MAX = 100;
export const POLICY_TOKENS_MAX = 4_000;
export const ANNOTATION_CHARACTERS_MAX = 500;
export const POLICY_ID_CHARACTERS_MAX = 80;

/** What a gate may ask for. */
export const GATE_APPROVERS_MAX = 20;
export const GATE_QUORUM_MAX = 10;
export const GATE_USES_MAX = 100;
export const GATE_TTL_SECONDS_MAX = 24 * 60 * 60;
export const GATE_TIMEOUT_SECONDS_MAX = 7 * 24 * 60 * 60;

/** The schema made from a tool manifest, and the arguments projected onto it. */
export const SCHEMA_ATTRIBUTES_MAX = 2_000;
export const SCHEMA_RECORD_DEPTH_MAX = 8;
export const SCHEMA_REFERENCES_MAX = 8;
export const ARGUMENTS_DEPTH_MAX = 64;
/** Cedar's decimal: 64 bits with four fractional digits. Values near the end of its range are refused, not rounded. */
export const DECIMAL_FRACTION_DIGITS = 4;
export const DECIMAL_ABSOLUTE_MAX = 922_337_203_685_477;

/** Compiled sets one engine keeps parsed; the least recently used one makes room for the next. */
export const ENGINE_SLOTS_MAX = 64;
