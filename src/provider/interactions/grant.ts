import type { Provider } from 'oidc-provider';
import { BASE_SCOPE } from '../../wire/scopes.ts';
import type { Trip } from './trip.ts';

const IDENTITY_SCOPES = ['openid', 'offline_access'];

/** A new Grant for exactly what the page showed: one task, one grant, one refresh family (design §2). */
export async function saveGrant(provider: Provider, trip: Trip, personId: string, seconds: number): Promise<string> {
  const grant = new provider.Grant({ accountId: personId, clientId: trip.clientId });
  // The typings leave out what every token of the engine has.
  Object.assign(grant, { expiresIn: seconds });
  grant.addResourceScope(trip.resource, BASE_SCOPE);
  const asked = trip.scope.split(' ');
  const identity = IDENTITY_SCOPES.filter((scope) => asked.includes(scope));
  if (identity.length > 0) grant.addOIDCScope(identity.join(' '));
  return grant.save();
}
