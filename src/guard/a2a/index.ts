export type { RegistrationAnswer } from '../../wire/guard_api.ts';
export { type GuardKey, generateGuardKey } from '../key.ts';
export { type A2ACaller, countersignOf, type ExchangeRequest, type WaitingCall } from './caller_of.ts';
export type { A2AGuardOptions, A2AServer, ExchangingAgent } from './options.ts';
export { protectA2A } from './protect_a2a.ts';
