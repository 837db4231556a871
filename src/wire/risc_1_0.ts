// OpenID RISC Profile Specification 1.0, final (29 August 2025), §2: accounts. Their attributes change nothing here.

const BASE = 'https://schemas.openid.net/secevent/risc/event-type/';
export const ACCOUNT_PURGED = `${BASE}account-purged`;
export const ACCOUNT_DISABLED = `${BASE}account-disabled`;
export const ACCOUNT_ENABLED = `${BASE}account-enabled`;
/** Of transmitters that do not speak CAEP yet (§2.11). */
export const SESSIONS_REVOKED = `${BASE}sessions-revoked`;
