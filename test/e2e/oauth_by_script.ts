import { createHash, randomBytes } from 'node:crypto';
import type { World } from './world.ts';

const REDIRECT = 'http://127.0.0.1:1/callback';

/** The access token of an interactive client, by consent of the administrator, without a browser. */
export async function tokenByConsent(world: World, clientId: string, resource: string): Promise<string> {
  const verifier = randomBytes(32).toString('base64url');
  const trip = new URLSearchParams({
    client_id: clientId,
    response_type: 'code',
    redirect_uri: REDIRECT,
    scope: 'mcp:tools',
    resource,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  const consent = await world.operator.open(`/authorize?${trip}`);
  const back = await world.operator.submit(
    consent,
    { action: /\/consent$/, having: { decision: 'allow' } },
    { seconds: '3600' },
  );
  const answer = await fetch(`${world.issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      client_id: clientId,
      code: new URL(back.url).searchParams.get('code') ?? '',
      redirect_uri: REDIRECT,
      code_verifier: verifier,
    }),
  });
  const { access_token: token } = (await answer.json()) as { access_token?: string };
  if (token === undefined) throw new Error(`No token: ${back.url}`);
  return token;
}
