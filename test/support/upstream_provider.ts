import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../src/cli/free_port.ts';

const CHILD = fileURLToPath(new URL('./upstream_provider_child.ts', import.meta.url));
export const UPSTREAM_CLIENT_ID = 'countersign';
export const UPSTREAM_SECRET = 'a secret that only two processes know';

/** Who signs in at the provider next, and what it says of them. */
export interface UpstreamPerson {
  readonly sub?: string;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly acr?: string;
  readonly amr?: readonly string[];
  readonly isDenied?: boolean;
}

export interface UpstreamProvider {
  readonly issuer: string;
  /** `host:port`, for a fetch that must allow it. */
  readonly host: string;
  signsInNext(person: UpstreamPerson): Promise<void>;
  stop(): Promise<void>;
}

/** A real OpenID provider (oidc-provider) in a process of its own. */
export async function startUpstreamProvider(redirectUris: readonly string[], port?: number): Promise<UpstreamProvider> {
  const own = port ?? (await freePort());
  const child = spawn(process.execPath, [CHILD, String(own), redirectUris.join(',')], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await ready(child);
  const issuer = `http://127.0.0.1:${own}`;
  return {
    issuer,
    host: `127.0.0.1:${own}`,
    signsInNext: async (person) => {
      await fetch(`${issuer}/next`, { method: 'PUT', body: JSON.stringify(person) });
    },
    stop: async () => {
      if (child.exitCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}

async function ready(child: ChildProcess): Promise<void> {
  await Promise.race([
    once(child.stdout!, 'data'),
    once(child, 'exit').then(([code]) => {
      throw new Error(`The identity provider ended with ${code}.`);
    }),
  ]);
}
