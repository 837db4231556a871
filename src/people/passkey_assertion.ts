import { type AuthenticationResponseJSON, verifyAuthenticationResponse } from '@simplewebauthn/server';
import { sql } from 'kysely';
import { append } from '../events/append.ts';
import { accepted, type Result, refused } from '../kernel/result.ts';
import type { AfterCommit, Store, Tx } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { type Refusal, refusal } from '../wire/refusals.ts';
import { type ChallengeUse, isChallengeFor, type RelyingParty, spendChallenge } from './passkey_challenge.ts';

/** A passkey's answer that verified, with user verification, to a challenge that is now spent. */
export interface VerifiedAssertion {
  readonly personId: string;
  readonly credentialId: string;
  readonly counter: number;
  /** RFC 8176: `hwk` for a key that cannot leave its device, `swk` for a synchronised one, and `user`. */
  readonly amr: readonly string[];
}

const UNKNOWN = refusal('passkey_required', 'This passkey is not known here, or its owner was disabled.');
const UNVERIFIED = refusal(
  'passkey_required',
  'The passkey could not be verified: the answer came too late, was for another question or another site, or was made ' +
    'without verifying the person.',
);

/** Verifies the answer to a challenge made for `use`; `personId` limits it to the passkeys of one person. */
export async function verifyAssertion(
  store: Store,
  rp: RelyingParty,
  use: ChallengeUse,
  response: AuthenticationResponseJSON,
  personId: string | null,
): Promise<Result<VerifiedAssertion, Refusal>> {
  if (typeof response?.id !== 'string') return refused(refusal('request_invalid', 'This is no answer of a passkey.'));
  const passkey = await store.db
    .selectFrom('passkeys')
    .innerJoin('people', 'people.id', 'passkeys.person_id')
    .select(['passkeys.credential_id', 'passkeys.person_id', 'passkeys.public_key', 'people.user_handle'])
    .where('passkeys.credential_id', '=', response.id)
    .where('people.state', '=', 'active')
    .executeTakeFirst();
  if (passkey === undefined || (personId !== null && passkey.person_id !== personId)) return refused(UNKNOWN);
  // An authenticator names the person it answers for when it was not told whose answer is wanted.
  const handle = response.response?.userHandle;
  if (handle === undefined ? personId === null : handle !== passkey.user_handle.toString('base64url')) {
    return refused(UNKNOWN);
  }
  let challenge = '';
  const verified = await verifyAuthenticationResponse({
    response,
    expectedChallenge: (given) => {
      challenge = given;
      return isChallengeFor(store, use, given, Date.now());
    },
    expectedOrigin: rp.origin,
    expectedRPID: rp.id,
    requireUserVerification: true,
    // The counter is compared where it is stored, so that two answers at once cannot both pass.
    credential: { id: passkey.credential_id, publicKey: new Uint8Array(passkey.public_key), counter: 0 },
  }).catch((error: unknown) => {
    // The library throws for every answer that does not verify.
    store.log.info({ err: error, person: passkey.person_id }, 'a passkey answer did not verify');
    return { verified: false } as const;
  });
  if (!verified.verified) return refused(UNVERIFIED);
  if (!(await spendChallenge(store, challenge))) {
    return refused(refusal('passkey_required', 'This answer of the passkey was used already. Confirm again.'));
  }
  const { newCounter, credentialDeviceType } = verified.authenticationInfo;
  return accepted({
    personId: passkey.person_id,
    credentialId: passkey.credential_id,
    counter: newCounter,
    amr: [credentialDeviceType === 'singleDevice' ? 'hwk' : 'swk', 'user'],
  });
}

/**
 * Runs `work` in the transaction that records the use of the passkey. A counter that does not rise is the sign of a copied key
 * (WebAuthn §6.1.1): then nothing is done, and an event says so. Synchronised passkeys keep the counter at zero.
 */
export async function withUseRecorded<Value>(
  store: Store,
  assertion: VerifiedAssertion,
  work: (tx: Tx, afterCommit: AfterCommit) => Promise<Result<Value, Refusal>>,
): Promise<Result<Value, Refusal>> {
  return transact(store, async (tx, afterCommit) => {
    const { credentialId, counter, personId } = assertion;
    const used = await tx
      .updateTable('passkeys')
      .set({ counter, last_used_at: sql<Date>`clock_timestamp()` })
      .where('credential_id', '=', credentialId)
      .where(sql<boolean>`(counter < ${counter}::bigint or (counter = 0 and ${counter}::bigint = 0))`)
      .returning('credential_id')
      .executeTakeFirst();
    if (used !== undefined) return work(tx, afterCommit);
    await append(store, tx, afterCommit, {
      kind: 'passkey.refused',
      ids: { person: personId, passkey: credentialId, counter },
    });
    return refused(
      refusal(
        'passkey_required',
        'This passkey may have been copied: it counted fewer uses than it should. Use another passkey, and remove this one.',
      ),
    );
  });
}
