import { z } from 'zod';
import type { JsonObject } from '../kernel/json.ts';
import { readSecretFile } from '../kernel/secret_file.ts';
import { CommandError } from './command_error.ts';

/** Where a command sends what it wants, and as whom: options of every command that works over REST. */
export interface ApiOptions {
  readonly url?: string;
  readonly tokenFile?: string;
}

const REQUEST_MS_MAX = 30_000;
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

const problemSchema = z.object({
  error: z.string(),
  error_description: z.string().optional(),
  next: z.string().optional(),
});

export interface ApiClient {
  /** Sends one request; throws a CommandError with the server's own words for every answer but a success. */
  send(method: string, path: string, body?: JsonObject): Promise<JsonObject>;
}

export async function openApi(options: ApiOptions): Promise<ApiClient> {
  const issuer = readUrl(options.url ?? process.env.COUNTERSIGN_URL);
  const token = await readToken(options.tokenFile);
  return { send: (method, path, body) => send({ issuer, token }, method, path, body) };
}

function readUrl(text: string | undefined): string {
  if (text === undefined) throw new CommandError('Name the server: --url https://approve.example, or COUNTERSIGN_URL.');
  if (!URL.canParse(text)) throw new CommandError(`${text} is no URL. Write it as https://approve.example`);
  const { protocol, hostname } = new URL(text);
  // The token would cross the network in the clear.
  if (protocol !== 'https:' && !(protocol === 'http:' && LOOPBACK.includes(hostname))) {
    throw new CommandError(`${text} must use https. Plain http is for a server on this machine only.`);
  }
  return text.replace(/\/+$/, '');
}

async function readToken(file: string | undefined): Promise<string> {
  if (file === undefined) {
    const token = process.env.COUNTERSIGN_API_TOKEN?.trim();
    if (token !== undefined && token !== '') return token;
    throw new CommandError(
      'This needs an API token: --token-file <file>, or COUNTERSIGN_API_TOKEN. `countersign tokens make` makes one.',
    );
  }
  const read = await readSecretFile(file);
  if (!read.ok) throw new CommandError(read.refusal.message);
  return read.value.trim();
}

async function send(
  { issuer, token }: { readonly issuer: string; readonly token: string },
  method: string,
  path: string,
  body: JsonObject | undefined,
): Promise<JsonObject> {
  const url = `${issuer}${path}`;
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      redirect: 'error',
      signal: AbortSignal.timeout(REQUEST_MS_MAX),
      headers: {
        authorization: `Bearer ${token}`,
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch (error) {
    const { message, cause } = error as Error;
    throw new CommandError(`${issuer} cannot be reached: ${(cause as Error | undefined)?.message || message}.`);
  }
  const answered: unknown = await response.json().catch(() => null);
  if (response.ok && typeof answered === 'object' && answered !== null) return answered as JsonObject;
  const problem = problemSchema.safeParse(answered);
  if (!problem.success) throw new CommandError(`${url} answered ${response.status}. Is it a Countersign server?`);
  const { error, error_description: words = error, next } = problem.data;
  throw new CommandError([words, next].filter((line) => line !== undefined).join('\n'));
}
