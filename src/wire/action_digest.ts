import { canonicalJson } from '../kernel/canonical_json.ts';
import type { JsonObject, JsonValue } from '../kernel/json.ts';
import { labelledDigest } from './labelled_digest.ts';

const ACTION_LABEL = 'countersign-action/1';
const BINDING_LABEL = 'countersign-binding/1';

/** What a person approves: everything that decides what a call does. All of it is required; "none" is null or {}. */
export interface Action {
  readonly issuer: string;
  readonly resource: string;
  /** From `deploymentId`. */
  readonly deployment: string;
  /** The MCP method, `tools/call` for tools. */
  readonly method: string;
  readonly name: string;
  /** From `manifestDigest`: what the tool said of itself when its owner accepted it; null for methods without a tool. */
  readonly manifest_digest: string | null;
  readonly arguments: JsonObject;
  readonly input_responses: JsonValue;
  /** What references in the arguments pointed to, from the owner's resolver. */
  readonly facts: JsonObject;
}

/** Who may use the approval of an action. */
export interface Binding {
  readonly action_digest: string;
  readonly requester: string;
  readonly delegation: string;
  readonly agent: string;
  readonly task: string;
}

/** The canonical text of an action: what is shown, what is signed and what runs. */
export function canonicalAction(action: Action): string {
  return canonicalJson({
    issuer: action.issuer,
    resource: action.resource,
    deployment: action.deployment,
    method: action.method,
    name: action.name,
    manifest_digest: action.manifest_digest,
    arguments: action.arguments,
    input_responses: action.input_responses,
    facts: action.facts,
  });
}

export function actionDigest(action: Action): string {
  return labelledDigest(ACTION_LABEL, canonicalAction(action));
}

export function bindingDigest(binding: Binding): string {
  return labelledDigest(
    BINDING_LABEL,
    canonicalJson({
      action_digest: binding.action_digest,
      requester: binding.requester,
      delegation: binding.delegation,
      agent: binding.agent,
      task: binding.task,
    }),
  );
}

export type Deployment =
  | { readonly kind: 'http'; readonly url: string }
  | {
      readonly kind: 'stdio';
      readonly command: string;
      readonly args: readonly string[];
      /** Names only: values are secrets and change without the program being another one. */
      readonly env_names: readonly string[];
    }
  | { readonly kind: 'in_process'; readonly name: string; readonly version: string }
  /** An agent that others send messages to, by its card. */
  | { readonly kind: 'a2a'; readonly agent: string; readonly version: string };

/** Names the upstream a tool server was registered with: canonical JSON that a person can read on the page. */
export function deploymentId(deployment: Deployment): string {
  switch (deployment.kind) {
    case 'http':
      return canonicalJson({ kind: 'http', url: new URL(deployment.url).href });
    case 'stdio':
      return canonicalJson({
        kind: 'stdio',
        command: deployment.command,
        args: deployment.args,
        env_names: [...new Set(deployment.env_names)].sort(),
      });
    case 'in_process':
      return canonicalJson({ kind: 'in_process', name: deployment.name, version: deployment.version });
    case 'a2a':
      return canonicalJson({ kind: 'a2a', agent: deployment.agent, version: deployment.version });
  }
}
