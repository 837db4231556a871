import {
  generateRegistrationOptions,
  type PublicKeyCredentialCreationOptionsJSON,
  type RegistrationResponseJSON,
  type VerifiedRegistrationResponse,
  verifyRegistrationResponse,
} from '@simplewebauthn/server';
import { append } from '../events/append.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { SignedIn } from '../model/person.ts';
import type { Store } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { mayAddPasskey, takeAddingPasskey } from './adding_passkey.ts';
import { PASSKEY_CHALLENGE_MS, PASSKEY_NAME_CHARACTERS_MAX, PASSKEYS_PER_PERSON_MAX } from './limits.ts';
import { isChallengeFor, newChallenge, type RelyingParty, spendChallenge } from './passkey_challenge.ts';
import { passkeysOf } from './passkeys.ts';
import { lockPersonForChange } from './session.ts';
import { parseVisibleName } from './visible_name.ts';

/** Whoever only holds the session must not be able to add a key of their own: after the first, an existing one confirms. */
const CONFIRM_FIRST = refusal(
  'passkey_required',
  'You have a passkey already. Confirm with it first, then add another one within two minutes.',
);

// COSE: EdDSA, ES256, RS256. Named, since the library's own list asks for algorithms Node calls experimental.
const ALGORITHMS = [-8, -7, -257];

/** Asks the browser for a new passkey: discoverable, with user verification. The first one is free. */
export async function beginRegistration(
  store: Store,
  signedIn: SignedIn,
  rp: RelyingParty,
): Promise<Result<PublicKeyCredentialCreationOptionsJSON, Refusal>> {
  const passkeys = await passkeysOf(store.db, signedIn.person.id);
  if (passkeys.length > 0 && !(await mayAddPasskey(store, signedIn))) return refused(CONFIRM_FIRST);
  const person = await store.db
    .selectFrom('people')
    .select('user_handle')
    .where('id', '=', signedIn.person.id)
    .executeTakeFirstOrThrow();
  const options = await generateRegistrationOptions({
    rpName: rp.name,
    rpID: rp.id,
    userName: signedIn.person.displayName,
    userDisplayName: signedIn.person.displayName,
    userID: new Uint8Array(person.user_handle),
    challenge: newChallenge(store, useOf(signedIn), Date.now()),
    timeout: PASSKEY_CHALLENGE_MS,
    attestationType: 'none',
    excludeCredentials: passkeys,
    supportedAlgorithmIDs: ALGORITHMS,
    authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
  });
  return accepted(options);
}

export async function finishRegistration(
  store: Store,
  signedIn: SignedIn,
  rp: RelyingParty,
  response: RegistrationResponseJSON,
  name: string,
): Promise<Result<{ credentialId: string }, Refusal>> {
  const visibleName = parseVisibleName(name, PASSKEY_NAME_CHARACTERS_MAX);
  if (!visibleName.ok) return visibleName;
  const verified = await verifyNewPasskey(store, signedIn, rp, response);
  if (!verified.ok) return verified;
  const { credential, credentialDeviceType, credentialBackedUp } = verified.value;
  const personId = signedIn.person.id;
  return transact(store, async (tx, afterCommit) => {
    if (!(await lockPersonForChange(tx, personId))) {
      return refused(refusal('person_inactive', 'You were disabled. No passkey was added.'));
    }
    const count = (await passkeysOf(tx, personId)).length;
    if (count > 0 && !(await takeAddingPasskey(store, signedIn))) return refused(CONFIRM_FIRST);
    if (count >= PASSKEYS_PER_PERSON_MAX) {
      const message = `You have ${count} passkeys, which is the most one person may have. Remove one first.`;
      return refused(refusal('conflict', message));
    }
    const added = await tx
      .insertInto('passkeys')
      .values({
        credential_id: credential.id,
        person_id: personId,
        public_key: Buffer.from(credential.publicKey),
        counter: credential.counter,
        transports: JSON.stringify(credential.transports ?? []),
        device_type: credentialDeviceType,
        backed_up: credentialBackedUp,
        name: visibleName.value,
      })
      .onConflict((conflict) => conflict.doNothing())
      .returning('credential_id')
      .executeTakeFirst();
    if (added === undefined) return refused(refusal('conflict', 'This passkey is known here already.'));
    await append(store, tx, afterCommit, {
      kind: 'passkey.added',
      ids: { person: personId, passkey: credential.id, device_type: credentialDeviceType },
      personal: { name: visibleName.value },
    });
    return accepted({ credentialId: credential.id });
  });
}

type NewPasskey = NonNullable<VerifiedRegistrationResponse['registrationInfo']>;

async function verifyNewPasskey(
  store: Store,
  signedIn: SignedIn,
  rp: RelyingParty,
  response: RegistrationResponseJSON,
): Promise<Result<NewPasskey, Refusal>> {
  let challenge = '';
  const verified = await verifyRegistrationResponse({
    response,
    expectedChallenge: (given) => {
      challenge = given;
      return isChallengeFor(store, useOf(signedIn), given, Date.now());
    },
    expectedOrigin: rp.origin,
    expectedRPID: rp.id,
    requireUserVerification: true,
    supportedAlgorithmIDs: ALGORITHMS,
  }).catch((error: unknown): VerifiedRegistrationResponse => {
    // The library throws for every answer that does not verify, also for malformed ones.
    store.log.info({ err: error, person: signedIn.person.id }, 'a new passkey did not verify');
    return { verified: false };
  });
  if (!verified.verified || response.clientExtensionResults?.credProps?.rk === false) {
    const message =
      'The new passkey could not be verified: the answer came too late, was for another site, was made without ' +
      'verifying you, or cannot be used to sign in. Nothing was added; try again.';
    return refused(refusal('request_invalid', message));
  }
  if (!(await spendChallenge(store, challenge))) {
    return refused(refusal('conflict', 'This answer was used already. Start again to add another passkey.'));
  }
  return accepted(verified.registrationInfo);
}

function useOf(signedIn: SignedIn) {
  return { purpose: 'register', sessionIdHash: signedIn.sessionIdHash };
}
