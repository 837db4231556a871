import type { ToolDefinition } from '../wire/manifest.ts';
import { isSameToolList, type ToolList } from './tool_list.ts';

export type ManifestListener = (tools: readonly ToolDefinition[]) => void;

/**
 * The tool list that the gateway stands for, from whichever upstream process was read last. A call goes only to a process
 * that lists its tool just so: what was evaluated is what runs.
 */
export class Manifest {
  readonly #listeners = new Set<ManifestListener>();
  #list: ToolList | undefined;
  /** Rises with every change: a process that reported before it may be out of date. */
  version = 0;

  get list(): ToolList | undefined {
    return this.#list;
  }

  /** Takes a settled list; listeners hear of it when it differs. Returns the version it is part of. */
  report(list: ToolList): number {
    if (this.#list !== undefined && isSameToolList(this.#list, list)) return this.version;
    this.#list = list;
    this.version += 1;
    for (const listener of this.#listeners) listener(list.tools);
    return this.version;
  }

  /** A new listener is told at once if there is a list already. */
  onManifest(listener: ManifestListener): void {
    this.#listeners.add(listener);
    if (this.#list !== undefined) listener(this.#list.tools);
  }
}
