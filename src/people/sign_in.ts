import {
  type AuthenticationResponseJSON,
  generateAuthenticationOptions,
  type PublicKeyCredentialRequestOptionsJSON,
} from '@simplewebauthn/server';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { Store } from '../store/store.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { PASSKEY_CHALLENGE_MS } from './limits.ts';
import { verifyAssertion, withUseRecorded } from './passkey_assertion.ts';
import { newChallenge, type RelyingParty } from './passkey_challenge.ts';
import { lockActivePerson, startSession } from './session.ts';

const USE = { purpose: 'sign-in', sessionIdHash: null } as const;

/** What the browser is asked: any passkey of this site, chosen by the person, without typing a name first. */
export async function beginSignIn(store: Store, rp: RelyingParty): Promise<PublicKeyCredentialRequestOptionsJSON> {
  return generateAuthenticationOptions({
    rpID: rp.id,
    challenge: newChallenge(store, USE, Date.now()),
    userVerification: 'required',
    timeout: PASSKEY_CHALLENGE_MS,
  });
}

/** Signs in whoever the passkey belongs to. */
export async function finishSignIn(
  store: Store,
  rp: RelyingParty,
  response: AuthenticationResponseJSON,
): Promise<Result<{ personId: string; cookieValue: string }, Refusal>> {
  const assertion = await verifyAssertion(store, rp, USE, response, null);
  if (!assertion.ok) return assertion;
  const { personId, amr } = assertion.value;
  return withUseRecorded(store, assertion.value, async (tx, afterCommit) => {
    if (!(await lockActivePerson(tx, personId))) {
      return refused(refusal('person_inactive', 'This person was disabled. Nobody was signed in.'));
    }
    const { cookieValue } = await startSession(store, tx, afterCommit, { personId, amr });
    return accepted({ personId, cookieValue });
  });
}
