import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';
import { parseSync } from 'oxc-parser';

const REPOSITORY = join(import.meta.dirname, '..', '..');
const FUNCTION_NODES = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);

export interface SourceFunction {
  readonly firstLine: number;
  readonly lineCount: number;
}

export interface SourceFile {
  /** From the root of the repository, with slashes. */
  readonly path: string;
  readonly text: string;
  readonly lineCount: number;
  /** Relative imports and re-exports, types included, as paths from the root of the repository. */
  readonly imports: readonly string[];
  readonly packages: readonly string[];
  readonly functions: readonly SourceFunction[];
}

/** Every file under the folders, whatever its kind. */
export function listFiles(...folders: readonly string[]): string[] {
  return folders
    .flatMap((folder) => readdirSync(join(REPOSITORY, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(REPOSITORY, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

export function readSources(...folders: readonly string[]): SourceFile[] {
  return listFiles(...folders)
    .filter((path) => path.endsWith('.ts'))
    .map((path) => parseSource(path, readFileSync(join(REPOSITORY, path), 'utf8')));
}

export function parseSource(path: string, text: string): SourceFile {
  const { program, module, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path} does not parse: ${errors[0]?.message}`);
  const requests = [
    ...module.staticImports.map((found) => found.moduleRequest.value),
    ...module.staticExports.flatMap((found) => found.entries.map((entry) => entry.moduleRequest?.value)),
    ...module.dynamicImports.map((found) => literal(text.slice(found.moduleRequest.start, found.moduleRequest.end))),
  ].filter((request) => request !== undefined);
  const isRelative = (request: string) => request.startsWith('.');
  return {
    path,
    text,
    lineCount: text.trimEnd().split('\n').length,
    imports: unique(requests.filter(isRelative).map((request) => posix.join(dirname(path), request))),
    packages: unique(requests.filter((request) => !isRelative(request))),
    functions: functionsIn(program, text),
  };
}

function literal(expression: string): string | undefined {
  return /^(['"`])([^$]*)\1$/.exec(expression.trim())?.[2];
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}

function functionsIn(program: object, text: string): SourceFunction[] {
  const lineAt = (offset: number) => text.slice(0, offset).split('\n').length;
  const found: SourceFunction[] = [];
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    const { type, start, end } = node as { type?: string; start: number; end: number };
    if (type !== undefined && FUNCTION_NODES.has(type)) {
      const firstLine = lineAt(start);
      found.push({ firstLine, lineCount: lineAt(end) - firstLine + 1 });
    }
    Object.values(node).forEach(visit);
  };
  visit(program);
  return found;
}
