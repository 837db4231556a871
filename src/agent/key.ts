import { generatePrivateKeyJwk, importSigningKey, type PrivateKeyJwk } from '../wire/signing_key.ts';

/** The private key of an agent: a JWK (RFC 7517, P-256, ES256). JSON; store it where only the agent can read it. */
export type AgentKey = PrivateKeyJwk;

/**
 * Makes a key for a service agent. Register `publicJwk` with the agent; the private key never leaves the machine.
 *
 * @example
 * ```ts
 * import { writeFileSync } from 'node:fs';
 * import { generateAgentKey } from 'countersign/agent';
 *
 * const { key, publicJwk } = await generateAgentKey();
 * writeFileSync('agent-key.json', JSON.stringify(key), { mode: 0o600, flag: 'wx' });
 * console.log(JSON.stringify(publicJwk)); // to be registered
 * ```
 */
export async function generateAgentKey(): Promise<{ key: AgentKey; publicJwk: Record<string, unknown> }> {
  const key = await generatePrivateKeyJwk();
  return { key, publicJwk: { ...(await importSigningKey(key)).publicJwk } };
}
