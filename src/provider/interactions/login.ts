import type { Context } from 'koa';
import type { Provider } from 'oidc-provider';
import type { SignedIn } from '../../model/person.ts';
import { finishTrip, type Trip } from './trip.ts';

/** Tells the engine who is signed in here, and truthfully how and since when. */
export async function finishLogin(provider: Provider, ctx: Context, trip: Trip, signedIn: SignedIn): Promise<void> {
  await forgetOtherPerson(provider, trip, signedIn.person.id);
  await finishTrip(provider, ctx, {
    login: {
      accountId: signedIn.person.id,
      amr: [...signedIn.amr],
      ts: Math.floor(signedIn.authenticatedAt.getTime() / 1000),
      remember: false,
    },
  });
}

/** The engine remembers the last trip of this browser; if that was another person's, it would ask them to sign out. */
async function forgetOtherPerson(provider: Provider, trip: Trip, personId: string): Promise<void> {
  const { session } = trip.interaction;
  if (session?.uid === undefined || session.accountId === undefined || session.accountId === personId) return;
  const known = await provider.Session.findByUid(session.uid);
  await known?.destroy();
  delete trip.interaction.session;
  await trip.interaction.save(trip.interaction.exp - Math.floor(Date.now() / 1000));
}
