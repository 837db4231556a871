import type { Provider } from 'oidc-provider';
import type { Store } from '../../store/store.ts';
import type { PurposeCode } from './consent_view.ts';
import type { InteractionPages } from './pages.ts';

export interface InteractionOptions {
  readonly provider: Provider;
  readonly store: Store;
  readonly pages: InteractionPages;
  /** The kinds of work an administrator defined; policy sees the code the person picks. */
  readonly purposeCodes: readonly PurposeCode[];
}

export interface Interactions extends InteractionOptions {
  /** The path of the issuer, before every path of ours. */
  readonly path: string;
}
