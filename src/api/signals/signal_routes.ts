import Router from '@koa/router';
import { transmitterMetadata, transmitterMetadataPath } from '../../wire/ssf_1_0.ts';
import { addSignalReceiverRoutes, type ReceiverParts } from './receiver_routes.ts';
import { addTransmitterRoutes, type TransmitterParts } from './transmitter_routes.ts';

/** Shared signals in both directions (OpenID SSF 1.0). */
export function addSignalRoutes(router: Router, parts: TransmitterParts & ReceiverParts): void {
  addTransmitterRoutes(router, parts);
  addSignalReceiverRoutes(router, parts);
}

/** The document that receivers begin with: at the root of the host, whatever path the issuer has (SSF 1.0 §7.2). */
export function transmitterMetadataRouter(issuer: string): Router {
  const metadata = transmitterMetadata(issuer);
  return new Router().get(transmitterMetadataPath(issuer), (ctx) => {
    ctx.body = metadata;
  });
}
