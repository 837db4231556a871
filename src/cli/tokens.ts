import { type Acting, BY_SERVER } from '../model/acting.ts';
import { API_TOKEN_SCOPES, type ApiTokenScope, isApiTokenScope } from '../model/api_token.ts';
import { listApiTokens, makeApiToken, revokeApiToken } from '../people/api_tokens.ts';
import type { Store } from '../store/store.ts';
import { CommandError } from './command_error.ts';
import { type KeysOptions, openKeyPlace } from './open_keys.ts';

const DAY_SECONDS = 86_400;
/** Nobody approves alone what they proposed, also not by a machine of theirs: somebody answers for it. */
const PROPOSING: ReadonlySet<ApiTokenScope> = new Set(['agents:write', 'tasks:write']);

/** Makes a token for a machine, and prints it, this once: `countersign tokens make NAME --scope scim`. */
export async function tokensMake(
  name: string,
  options: KeysOptions & { readonly scope: readonly string[]; readonly days: number; readonly for?: string },
): Promise<void> {
  const scopes = options.scope.filter(isApiTokenScope);
  const wrong = options.scope.find((scope) => !isApiTokenScope(scope));
  if (wrong !== undefined) {
    throw new CommandError(`There is no scope "${wrong}". There are: ${API_TOKEN_SCOPES.join(', ')}.`);
  }
  const proposing = scopes.find((scope) => PROPOSING.has(scope));
  if (proposing !== undefined && options.for === undefined) {
    throw new CommandError(
      `A token with ${proposing} proposes what people approve. Say who answers for it: --for "their name", or prs_… They cannot ` +
        'approve what it proposes, and it ends when they are disabled.',
    );
  }
  await withStore(options, async (store) => {
    const by = options.for === undefined ? BY_SERVER : await answering(store, options.for);
    const made = await makeApiToken(store, { name, scopes, seconds: options.days * DAY_SECONDS, by });
    if (!made.ok) throw new CommandError(made.refusal.message);
    const { id, token, expiresAt } = made.value;
    if (options.json) {
      process.stdout.write(`${JSON.stringify({ id, token, expires_at: expiresAt.toISOString(), scopes })}\n`);
      return;
    }
    // The token alone on standard output, so that it can be sent straight into a file or a secret store.
    process.stderr.write(
      `${id} may: ${scopes.join(', ')}. It works until ${expiresAt.toISOString()}. It is shown only now; keep it where only ` +
        `its machine can read it. To end it: countersign tokens revoke ${id}\n`,
    );
    process.stdout.write(`${token}\n`);
  });
}

/** Shows every token, never the token itself: `countersign tokens list`. */
export async function tokensList(options: KeysOptions): Promise<void> {
  await withStore(options, async (store) => {
    const tokens = await listApiTokens(store);
    if (options.json) {
      const rows = tokens.map(({ createdAt, expiresAt, lastUsedAt, ...token }) => ({
        ...token,
        created_at: createdAt.toISOString(),
        expires_at: expiresAt.toISOString(),
        last_used_at: lastUsedAt?.toISOString() ?? null,
      }));
      process.stdout.write(`${JSON.stringify(rows)}\n`);
      return;
    }
    for (const { id, name, scopes, state, expiresAt, lastUsedAt } of tokens) {
      const used = lastUsedAt === null ? 'never used' : `last used ${lastUsedAt.toISOString()}`;
      process.stdout.write(
        `${id}  ${state}  until ${expiresAt.toISOString()}  ${used}  ${scopes.join(' ')}  ${name}\n`,
      );
    }
    if (tokens.length === 0)
      process.stdout.write('There are no API tokens. Make one: countersign tokens make NAME --scope scim\n');
  });
}

/** Ends a token at once: `countersign tokens revoke ID`. */
export async function tokensRevoke(id: string, options: KeysOptions): Promise<void> {
  await withStore(options, async (store) => {
    const revoked = await revokeApiToken(store, { id, by: BY_SERVER });
    if (!revoked.ok) throw new CommandError(`${revoked.refusal.message} See: countersign tokens list`);
    process.stdout.write(
      options.json ? `${JSON.stringify({ id, state: 'revoked' })}\n` : `${id} is refused from now on.\n`,
    );
  });
}

/** The one active person of this id or, exactly, this name. */
async function answering(store: Store, text: string): Promise<Acting> {
  const found = await store.db
    .selectFrom('people')
    .select(['id', 'display_name'])
    .where('state', '=', 'active')
    .where((or) => or.or([or('id', '=', text), or('display_name', '=', text), or('user_name', '=', text)]))
    .limit(2)
    .execute();
  const [person, another] = found;
  if (person === undefined) throw new CommandError(`There is no active person "${text}". See the page People.`);
  if (another !== undefined) throw new CommandError(`Several people are called "${text}". Name the id instead: prs_…`);
  return { kind: 'person', id: person.id };
}

async function withStore(options: KeysOptions, work: (store: Store) => Promise<void>): Promise<void> {
  const place = await openKeyPlace(options);
  try {
    await work(place.store);
  } finally {
    await place.close();
  }
}
