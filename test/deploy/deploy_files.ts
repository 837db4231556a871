import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseYaml } from './written_commands.ts';

const REPOSITORY = join(import.meta.dirname, '..', '..');

export const readDeployed = (path: string) => readFileSync(join(REPOSITORY, path), 'utf8');

export interface ComposeService {
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly stop_grace_period?: string;
  readonly volumes?: readonly string[];
  readonly user?: string;
}

export interface Compose {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
  readonly volumes: object;
  readonly networks: {
    readonly inside: { readonly ipam: { readonly config: readonly { readonly subnet: string }[] } };
  };
}

export const readCompose = () => parseYaml<Compose>(readDeployed('deploy/compose/compose.yaml'));

export interface PodSpec {
  readonly terminationGracePeriodSeconds?: number;
  readonly containers: readonly {
    readonly args: readonly string[];
    readonly env: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: Reference }[];
    readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
    readonly lifecycle?: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } };
    readonly startupProbe?: Probe;
    readonly readinessProbe?: Probe;
    readonly livenessProbe?: Probe;
  }[];
  readonly volumes: readonly {
    readonly name: string;
    readonly configMap?: { readonly name: string; readonly items: readonly Item[] };
    readonly secret?: { readonly secretName: string; readonly defaultMode: number; readonly items: readonly Item[] };
  }[];
}

interface Reference {
  readonly secretKeyRef: { readonly name: string; readonly key: string };
}

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
  readonly periodSeconds: number;
  readonly failureThreshold: number;
}

interface Item {
  readonly key: string;
  readonly path: string;
}

export interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly stringData?: Readonly<Record<string, string>>;
  readonly resources?: readonly string[];
  readonly spec: {
    readonly selector: unknown;
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: PodSpec;
    };
  };
}

export const readManifest = (name: string) => parseYaml<Manifest>(readDeployed(`deploy/kubernetes/${name}.yaml`));

/** The lines of a systemd unit by name, in order; comments are left out. */
export function readUnit(name: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const line of readDeployed(`deploy/systemd/${name}`).split('\n')) {
    const [, key, value] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? [];
    if (key !== undefined) found.set(key, [...(found.get(key) ?? []), value ?? '']);
  }
  return found;
}
