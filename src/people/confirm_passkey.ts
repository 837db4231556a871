import {
  type AuthenticationResponseJSON,
  generateAuthenticationOptions,
  type PublicKeyCredentialRequestOptionsJSON,
} from '@simplewebauthn/server';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { SignedIn } from '../model/person.ts';
import type { Store } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { ADD_PASSKEY_PURPOSE, allowAddingPasskey } from './adding_passkey.ts';
import { PASSKEY_CHALLENGE_MS } from './limits.ts';
import { verifyAssertion, withUseRecorded } from './passkey_assertion.ts';
import { newChallenge, type RelyingParty } from './passkey_challenge.ts';
import { passkeysOf } from './passkeys.ts';

/** Asks the signed-in person to prove, by a passkey of theirs, that they themselves mean `purpose`, now. */
export async function beginConfirmation(
  store: Store,
  signedIn: SignedIn,
  rp: RelyingParty,
  purpose: string,
): Promise<Result<PublicKeyCredentialRequestOptionsJSON, Refusal>> {
  const passkeys = await passkeysOf(store.db, signedIn.person.id);
  if (passkeys.length === 0) {
    return refused(refusal('passkey_required', 'You have no passkey yet. Add one to your account first.'));
  }
  const options = await generateAuthenticationOptions({
    rpID: rp.id,
    challenge: newChallenge(store, useOf(signedIn, purpose), Date.now()),
    allowCredentials: passkeys,
    userVerification: 'required',
    timeout: PASSKEY_CHALLENGE_MS,
  });
  return accepted(options);
}

/** Whether they did. The answer is good once, for this purpose, in this session, within two minutes of the question. */
export async function finishConfirmation(
  store: Store,
  signedIn: SignedIn,
  rp: RelyingParty,
  purpose: string,
  response: AuthenticationResponseJSON,
): Promise<Result<{ amr: string[] }, Refusal>> {
  const assertion = await verifyAssertion(store, rp, useOf(signedIn, purpose), response, signedIn.person.id);
  if (!assertion.ok) return assertion;
  const confirmed = await withUseRecorded(store, assertion.value, async () =>
    accepted({ amr: [...assertion.value.amr] }),
  );
  if (confirmed.ok && purpose === ADD_PASSKEY_PURPOSE) await allowAddingPasskey(store, signedIn);
  return confirmed;
}

// A prefix of its own: no purpose that a caller names can be the sign-in's or the registration's.
function useOf(signedIn: SignedIn, purpose: string) {
  return { purpose: `confirm:${purpose}`, sessionIdHash: signedIn.sessionIdHash };
}
