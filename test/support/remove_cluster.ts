import { rm } from 'node:fs/promises';
import { clusterPaths } from '../../src/store/postgres/embedded/cluster.ts';
import { recordedPostmaster, signalPostmaster } from '../../src/store/postgres/embedded/postmaster.ts';

const REMOVE_ATTEMPTS = 20;

/** Stops whatever PostgreSQL still runs in `dataDirectory`, without mercy, and removes the directory. */
export async function removeCluster(dataDirectory: string): Promise<void> {
  const { cluster } = clusterPaths(dataDirectory);
  const pid = recordedPostmaster(cluster);
  if (pid !== undefined) signalPostmaster(pid, cluster, 'SIGQUIT');
  // The dying server still writes its last files for a moment.
  await rm(dataDirectory, { recursive: true, force: true, maxRetries: REMOVE_ATTEMPTS, retryDelay: 50 });
}
