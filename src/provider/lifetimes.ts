import type { Configuration, KoaContextWithOIDC } from 'oidc-provider';
import {
  AUTHORIZATION_CODE_SECONDS,
  CLIENT_TOKEN_SECONDS_MAX,
  ID_TOKEN_SECONDS,
  INTERACTION_SECONDS,
  PROVIDER_SESSION_SECONDS,
} from './limits.ts';
import { requestFacts } from './request_facts.ts';

// Functions, because a number would silently override what the resource says (`accessTokenTTL`).
const ofResource = (
  _ctx: KoaContextWithOIDC,
  token: { resourceServer?: { accessTokenTTL?: number | undefined } | undefined },
) => token.resourceServer?.accessTokenTTL ?? CLIENT_TOKEN_SECONDS_MAX;

/** How long things live; whatever belongs to a task ends with it. */
export const lifetimes: NonNullable<Configuration['ttl']> = {
  AccessToken: ofResource,
  ClientCredentials: ofResource,
  AuthorizationCode: AUTHORIZATION_CODE_SECONDS,
  RefreshToken: (ctx) => Math.max(1, requestFacts(ctx).task?.secondsLeft ?? 1),
  IdToken: ID_TOKEN_SECONDS,
  Interaction: INTERACTION_SECONDS,
  Session: PROVIDER_SESSION_SECONDS,
};
