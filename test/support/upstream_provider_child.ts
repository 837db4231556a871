import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

// A real OpenID provider in a process of its own: node upstream_provider_child.ts <port> <redirect URIs, comma between>
// One JSON line when ready. PUT /next says who the next trips sign in as, and what is said of them. SIGTERM ends it.

interface Next {
  readonly sub?: string;
  readonly claims?: Record<string, unknown>;
  readonly acr?: string;
  readonly amr?: string[];
  readonly isDenied?: boolean;
}

const [port = '0', redirects = ''] = process.argv.slice(2);
let next: Next = {};
const claimsOf = new Map<string, Record<string, unknown>>();

const server = createServer();
server.listen(Number(port), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'countersign',
        client_secret: 'a secret that only two processes know',
        redirect_uris: redirects.split(','),
      },
    ],
    claims: {
      openid: ['sub', 'acr', 'amr', 'auth_time', 'groups', 'oid'],
      profile: ['name', 'preferred_username'],
      email: ['email'],
    },
    conformIdTokenClaims: false,
    acrValues: ['mfa'],
    cookies: { keys: ['not a secret'] },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, ...claimsOf.get(sub) }) }),
    loadExistingGrant: async (ctx) => {
      const grant = new provider.Grant({
        clientId: ctx.oidc.client!.clientId,
        accountId: ctx.oidc.session!.accountId!,
      });
      grant.addOIDCScope('openid profile email');
      await grant.save();
      return grant;
    },
  });
  const answer = provider.callback();
  server.on('request', async (request, response) => {
    if (request.method === 'PUT' && request.url === '/next') {
      let text = '';
      for await (const chunk of request) text += chunk;
      next = JSON.parse(text) as Next;
      response.writeHead(204).end();
      return;
    }
    if (request.url?.startsWith('/interaction/')) {
      const { sub = 'somebody', claims = {}, acr, amr, isDenied } = next;
      claimsOf.set(sub, claims);
      const login = { accountId: sub, ...(acr && { acr }), ...(amr && { amr }), remember: false };
      const result = isDenied ? { error: 'access_denied', error_description: 'not assigned' } : { login };
      await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
      return;
    }
    answer(request, response);
  });
  process.stdout.write(`${JSON.stringify({ ready: true, issuer })}\n`);
});
process.once('SIGTERM', () => process.exit(0));
