import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { endsWithUs } from '../faults/ends_with_us.ts';

const PROGRAM = fileURLToPath(new URL('./foreign_issuer_process.ts', import.meta.url));
const READY_MS_MAX = 60_000;

export interface MintedToken {
  readonly header?: Readonly<Record<string, unknown>>;
  /** Beside `iss`, `iat`, `exp` and `jti`; null leaves one out. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** A real OpenID provider (oidc-provider) as a process of its own. Stop it in `afterAll`. */
export class ForeignIssuer {
  readonly issuer: string;
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, { issuer, port }: { issuer: string; port: number }) {
    this.#child = child;
    this.issuer = issuer;
    this.port = port;
  }

  static async start(algorithm = 'ES256', port = 0): Promise<ForeignIssuer> {
    const child = spawn(process.execPath, [PROGRAM, algorithm, String(port)], { stdio: ['ignore', 'pipe', 'ignore'] });
    endsWithUs(child);
    const [line] = (await once(child.stdout.setEncoding('utf8'), 'data', {
      signal: AbortSignal.timeout(READY_MS_MAX),
    })) as [string];
    return new ForeignIssuer(child, JSON.parse(line));
  }

  async mint(token: MintedToken): Promise<string> {
    const answer = await fetch(`${this.issuer}/mint`, { method: 'POST', body: JSON.stringify(token) });
    return answer.text();
  }

  async rotate(): Promise<void> {
    await fetch(`${this.issuer}/rotate`, { method: 'POST' });
  }

  async fetched(): Promise<{ discovery: number; jwks: number }> {
    return (await fetch(`${this.issuer}/fetched`)).json() as Promise<{ discovery: number; jwks: number }>;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}
