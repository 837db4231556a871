import type { PrivateKeyJwk } from '../../src/wire/signing_key.ts';
import type { Run } from './figures.ts';
import { type Program, startProgram } from './programs.ts';

export interface Bounds {
  readonly connections: number;
  readonly milliseconds: number;
  readonly requestsMax: number;
}

/** The same POST again and again; an answer without `expected` in it fails the run. */
export interface PostJob extends Bounds {
  readonly kind: 'post';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly expected: string;
}

/** Client credentials with a new assertion for every request. */
export interface TokenJob extends Bounds {
  readonly kind: 'token';
  readonly url: string;
  readonly issuer: string;
  readonly clientId: string;
  readonly key: PrivateKeyJwk;
  readonly form: Readonly<Record<string, string>>;
}

/** Tool calls on a server that the generator starts itself, as a client of a stdio server does. */
export interface StdioJob extends Bounds {
  readonly kind: 'stdio';
  readonly command: readonly string[];
  readonly params: object;
  readonly expected: string;
}

/** Prepared requests, each sent once, over the servers in turn; past any load balancer, with the host of the issuer. */
export interface SpreadJob extends Bounds {
  readonly kind: 'spread';
  readonly addresses: readonly string[];
  readonly host: string;
  readonly path: string;
  readonly requests: readonly { readonly headers: Readonly<Record<string, string>>; readonly body: string }[];
  readonly expected: string;
}

export type LoadJob = PostJob | TokenJob | StdioJob | SpreadJob;
export type LoadAnswer = { readonly run: Run } | { readonly problem: string };

export interface LoadGenerator {
  readonly pid: number;
  run(job: LoadJob): Promise<Run>;
  stop(): Promise<void>;
}

/** Load comes from a process of its own, so that it neither slows nor is slowed by what it asks, beyond sharing the cores. */
export async function startLoadGenerator(): Promise<LoadGenerator> {
  const program: Program<unknown> = await startProgram(new URL('./load_process.ts', import.meta.url), []);
  return {
    pid: program.process.pid ?? 0,
    run(job) {
      return new Promise((resolve, reject) => {
        const ended = () => reject(new Error('The load generator ended.'));
        program.process.once('exit', ended);
        program.process.once('message', (answer: LoadAnswer) => {
          program.process.off('exit', ended);
          if ('run' in answer) resolve(answer.run);
          else reject(new Error(answer.problem));
        });
        program.process.send(job);
      });
    },
    stop: () => program.stop(),
  };
}
