import type { Logger } from '../kernel/logger.ts';
import { manifestDigest, type ToolDefinition } from '../wire/manifest.ts';

export interface ListedTool {
  readonly definition: ToolDefinition;
  readonly digest: string;
}

/** The tools as the protected server lists them now, with their digests. */
export class Manifest {
  readonly #list: () => Promise<readonly ToolDefinition[]>;
  readonly #log: Logger;
  #tools: ReadonlyMap<string, ListedTool> | null = null;
  #pending: Promise<boolean> | null = null;

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

  /** Lists anew; true if something changed. A server that cannot list keeps its old manifest: its calls fail by themselves. */
  refresh(): Promise<boolean> {
    this.#pending ??= this.#refresh().finally(() => {
      this.#pending = null;
    });
    return this.#pending;
  }

  async #refresh(): Promise<boolean> {
    let listed: readonly ToolDefinition[];
    try {
      listed = await this.#list();
    } catch (error) {
      this.#log.error({ error }, 'the tools of the protected server could not be listed');
      return false;
    }
    const tools = new Map<string, ListedTool>();
    for (const definition of listed) tools.set(definition.name, { definition, digest: manifestDigest(definition) });
    const before = this.#tools;
    this.#tools = tools;
    if (before === null || before.size !== tools.size) return true;
    return [...tools].some(([name, tool]) => before.get(name)?.digest !== tool.digest);
  }
}
