import type { Logger } from '../kernel/logger.ts';
import { manifestDigest, type ToolDefinition } from '../wire/manifest.ts';

export interface ListedTool {
  readonly definition: ToolDefinition;
  readonly digest: string;
}

export type Refreshed = 'listed' | 'failed';

/** The tools as the protected server lists them now, with their digests. */
export class Manifest {
  readonly #list: () => Promise<readonly ToolDefinition[]>;
  readonly #log: Logger;
  #tools: ReadonlyMap<string, ListedTool> | null = null;
  #pending: Promise<Refreshed> | null = null;

  constructor(list: () => Promise<readonly ToolDefinition[]>, log: Logger) {
    this.#list = list;
    this.#log = log;
  }

  get isKnown(): boolean {
    return this.#tools !== null;
  }

  digestOf(name: string): string | undefined {
    return this.#tools?.get(name)?.digest;
  }

  tool(name: string): ToolDefinition | undefined {
    return this.#tools?.get(name)?.definition;
  }

  definitions(): ToolDefinition[] {
    return [...(this.#tools?.values() ?? [])].map((tool) => tool.definition);
  }

  digests(): { name: string; manifest_digest: string }[] {
    return [...(this.#tools ?? [])].map(([name, tool]) => ({ name, manifest_digest: tool.digest }));
  }

  /** One text for the whole list, to tell whether another list is the same. */
  get fingerprint(): string {
    return JSON.stringify(this.digests());
  }

  /** Lists anew. What is known stays when the server cannot list now. */
  refresh(): Promise<Refreshed> {
    this.#pending ??= this.#refresh().finally(() => {
      this.#pending = null;
    });
    return this.#pending;
  }

  async #refresh(): Promise<Refreshed> {
    let listed: readonly ToolDefinition[];
    try {
      listed = await this.#list();
    } catch (error) {
      this.#log.error({ error }, 'the tools of the protected server could not be listed');
      return 'failed';
    }
    const tools = new Map<string, ListedTool>();
    for (const definition of listed) tools.set(definition.name, { definition, digest: manifestDigest(definition) });
    this.#tools = tools;
    return 'listed';
  }
}
