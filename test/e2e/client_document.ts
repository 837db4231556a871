import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import tls from 'node:tls';
import { selfSignedCertificate } from './self_signed_certificate.ts';

export interface ClientDocument {
  /** The address of the document, which is the client's id. */
  readonly address: string;
  close(): Promise<void>;
}

/** The metadata document of a client that runs on this computer, over TLS as the draft asks, trusted in this process. */
export async function serveClientDocument(name: string): Promise<ClientDocument> {
  const { certificate, key } = selfSignedCertificate('localhost');
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), certificate]);
  let address = '';
  const server = createServer({ cert: certificate, key }, (_request, response) => {
    const document = {
      client_id: address,
      client_name: name,
      redirect_uris: ['http://127.0.0.1/callback'],
      application_type: 'native',
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    };
    response.setHeader('content-type', 'application/json').end(JSON.stringify(document));
  });
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  address = `https://localhost:${(server.address() as AddressInfo).port}/client.json`;
  return {
    address,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
