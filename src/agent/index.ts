export { AgentError } from './agent_error.ts';
export { type CallWithApprovalOptions, callWithApproval, type ToolCaller, type Waiting } from './call_with_approval.ts';
export { type AgentKey, generateAgentKey } from './key.ts';
export { type GuardVerdict, readStepUp } from './read_step_up.ts';
export {
  createServiceAgent,
  type ServiceAgent,
  type ServiceAgentOptions,
  type StartedTask,
  type TaskAuthProvider,
  type TaskRequest,
} from './service_agent.ts';
