import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import { SIGNING_ALGORITHM, type SigningKey } from './signing_key.ts';

const ASSERTION_SECONDS = 60;

/** The form members by which a client proves itself with `private_key_jwt` (RFC 7523 §2.2); `aud` is the issuer alone. */
export async function clientAssertion(
  key: SigningKey,
  client: { readonly clientId: string; readonly issuer: string },
  now: Date,
): Promise<Record<'client_id' | 'client_assertion_type' | 'client_assertion', string>> {
  const seconds = Math.floor(now.getTime() / 1000);
  const assertion = await new SignJWT()
    .setProtectedHeader({ alg: SIGNING_ALGORITHM, kid: key.thumbprint })
    .setIssuer(client.clientId)
    .setSubject(client.clientId)
    .setAudience(client.issuer)
    .setJti(randomUUID())
    .setIssuedAt(seconds)
    .setExpirationTime(seconds + ASSERTION_SECONDS)
    .sign(key.privateKey);
  return {
    client_id: client.clientId,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
  };
}
