/** What a machine that administers may be allowed to do. None of them approves anything: only people decide. */
export const API_TOKEN_SCOPES = [
  'agents:read',
  'agents:write',
  'audit:read',
  'people:read',
  'scim',
  'signals',
  'tasks:read',
  'tasks:write',
] as const;

export type ApiTokenScope = (typeof API_TOKEN_SCOPES)[number];

export function isApiTokenScope(text: string): text is ApiTokenScope {
  return (API_TOKEN_SCOPES as readonly string[]).includes(text);
}
