export type { Logger } from '../kernel/logger.ts';
export type { Deployment } from '../wire/action_digest.ts';
export type { RegistrationAnswer } from '../wire/guard_api.ts';
export type { RiskClass, ToolDefinition } from '../wire/manifest.ts';
export { createGuard } from './create_guard.ts';
export { type GuardKey, generateGuardKey } from './key.ts';
export type { FactsCall, Guard, GuardOptions, McpFetch, McpHandler, ProtectedHandler } from './options.ts';
export { protect } from './protect.ts';
