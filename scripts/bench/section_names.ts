/** The order in which they are measured and written down. */
export const SECTION_NAMES = [
  'starts',
  'tokens',
  'calls',
  'clicks',
  'nodes',
  'redeem',
  'revocation',
  'offboard',
  'recovery',
  'memory',
] as const;

export type SectionName = (typeof SECTION_NAMES)[number];
