import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePort } from '../../src/cli/free_port.ts';
import { endsWithUs } from './ends_with_us.ts';
import { until } from './installation.ts';

/** Tells which server answered, so that a test can show that requests went to different ones. */
export const SERVED_BY = 'x-served-by';
const STOP_MS_MAX = 5_000;

export interface LoadBalancer {
  readonly port: number;
  /** From now on new requests go to these servers alone, by index; those under way elsewhere go on. */
  useOnly(...servers: readonly number[]): Promise<void>;
  stop(): Promise<void>;
}

/**
 * A real haproxy before the servers: each request to the next one that says it is ready, no stickiness. What a frozen
 * server holds is cut as soon as it is found unready. Nothing but a connection that was refused is tried elsewhere, since
 * a request that a server has read may have been done.
 */
export async function startHaproxy(directory: string, port: number, servers: readonly number[]): Promise<LoadBalancer> {
  const file = join(directory, 'haproxy.cfg');
  const administration = await freePort();
  await writeFile(file, configuration(port, administration, servers));
  const child = spawn('haproxy', ['-db', '-f', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  endsWithUs(child);
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-4_000);
  });
  const missing = 'haproxy cannot be started. Run `node scripts/fetch_test_tools.ts`, which installs it or says how.';
  await new Promise((resolve, reject) => {
    child.once('spawn', resolve).once('error', (cause) => reject(new Error(missing, { cause })));
  });
  await until('haproxy listens', async () => {
    if (child.exitCode !== null) throw new Error(`haproxy ended:\n${errors}`);
    return fetch(`http://127.0.0.1:${port}/readyz`).then(
      () => true,
      () => undefined,
    );
  });
  const useOnly = (...used: readonly number[]) => {
    const states = servers.map((_, index) => (used.includes(index) ? 'ready' : 'drain'));
    return tell(
      administration,
      states.map((state, index) => `set server servers/node${index} state ${state}`).join(';'),
    );
  };
  return { port, useOnly, stop: () => stop(child) };
}

/** Says something at the administration socket; haproxy closes it when everything was done, and is silent if it was. */
async function tell(port: number, commands: string): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.end(`${commands}\n`);
  let answer = '';
  for await (const chunk of socket.setEncoding('utf8')) answer += chunk;
  if (answer.trim() !== '') throw new Error(`haproxy said to "${commands}": ${answer}`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
  await exited;
  clearTimeout(timer);
}

function configuration(port: number, administration: number, servers: readonly number[]): string {
  return `
global
  maxconn 1000
  stats socket ipv4@127.0.0.1:${administration} level admin
defaults
  mode http
  timeout connect 1s
  timeout client 70s
  timeout server 15s
  timeout queue 2s
  timeout check 2s
frontend issuer
  bind 127.0.0.1:${port}
  option forwardfor
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Proto http
  default_backend servers
backend servers
  balance roundrobin
  option httpchk GET /readyz
  option redispatch 1
  retries 2
  # Long-polls and streams stay quiet for longer than any other answer may take.
  http-request set-timeout server 70s if { path_end /wait } or { path_end /live } or { path_end /lease }
  http-response set-header ${SERVED_BY} %s
  default-server check inter 400ms fastinter 200ms downinter 300ms fall 2 rise 1 on-marked-down shutdown-sessions
${servers.map((server, index) => `  server node${index} 127.0.0.1:${server}`).join('\n')}
`;
}
