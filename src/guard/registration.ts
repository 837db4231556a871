import { request } from 'undici';
import type { JsonObject } from '../kernel/json.ts';
import {
  REGISTRATION_PATH,
  type RegistrationAnswer,
  type RegistrationRequest,
  refusalBodySchema,
  registrationAnswerSchema,
} from '../wire/guard_api.ts';
import type { RiskClass } from '../wire/manifest.ts';
import type { SigningKey } from '../wire/signing_key.ts';
import { IssuerOutage } from './issuer_outage.ts';
import { ISSUER_TIMEOUT_MS } from './limits.ts';

export interface Registration {
  readonly issuer: string;
  readonly name: string;
  readonly resource: string;
  readonly deployment: string;
  readonly key: SigningKey;
  readonly proposedRisks: Readonly<Record<string, RiskClass>>;
}

/**
 * Asks the issuer to register this guard, or how far that is: the same name, address and key always name the same
 * registration. It is no secret and grants nothing; an administrator accepts it. Throws IssuerOutage.
 */
export async function askForRegistration(
  registration: Registration,
  tools: readonly JsonObject[],
): Promise<RegistrationAnswer> {
  const { kty, crv, x, y } = registration.key.publicJwk;
  const body = {
    name: registration.name,
    resource: registration.resource,
    deployment: registration.deployment,
    jwk: { kty, crv, x, y },
    tools: [...tools],
    proposed_risks: { ...registration.proposedRisks },
  } satisfies RegistrationRequest;
  const url = `${registration.issuer}${REGISTRATION_PATH}`;
  let status: number;
  let answer: unknown;
  try {
    const response = await request(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(body),
      headersTimeout: ISSUER_TIMEOUT_MS,
      bodyTimeout: ISSUER_TIMEOUT_MS,
    });
    status = response.statusCode;
    answer = await response.body.json();
  } catch (error) {
    throw new IssuerOutage(`${url} cannot be reached.`, error);
  }
  const parsed = registrationAnswerSchema.safeParse(answer);
  if (parsed.success) return parsed.data;
  const refused = refusalBodySchema.safeParse(answer);
  throw new IssuerOutage(
    refused.success
      ? `The registration of this guard is refused: ${refused.data.error_description} ${refused.data.next}`
      : `${url} answered ${status}.`,
  );
}

/** A name that the issuer accepts, from the address: `https://files.example/mcp` is `files-example-mcp`. */
export function nameOfResource(resource: string): string {
  const { host, pathname } = new URL(resource);
  const name = `${host}${pathname}`.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  return name.replaceAll(/^-+|-+$/g, '').slice(0, 63) || 'tool-server';
}
