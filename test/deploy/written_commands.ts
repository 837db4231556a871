import { parse } from 'yaml';
import { runCommand } from '../cli/run_command.ts';

/** The commands of ours that a text tells people or programs to run: what comes after `countersign` or `main.js`. */
export function commandsIn(text: string): string[] {
  const joined = text.replaceAll(/\\\n\s*/g, ' ');
  const inSentences = [...joined.matchAll(/`countersign ([a-z][^`]*)`/g)];
  const inLines = [...joined.matchAll(/(?:dist\/cli\/main\.js|^countersign) ([a-z][^#|&"\n`]*)/gm)];
  return [...inSentences, ...inLines].map((found) => found[1]!.trim());
}

const helps = new Map<string, Promise<string>>();

/** What is wrong with a command: an unknown name, or an option it does not have. Undefined if nothing is. */
export async function problemOf(command: string): Promise<string | undefined> {
  const words = command.split(/\s+/);
  const path = [words[0] ?? ''];
  let help = await helpOf(path);
  if (help === undefined) return `there is no command "${path[0]}"`;
  while (/^Commands:$/m.test(help)) {
    const next = words[path.length] ?? '';
    if (!new RegExp(`^  ${next} `, 'm').test(help)) return `"${path.join(' ')}" has no command "${next}"`;
    path.push(next);
    help = (await helpOf(path)) ?? '';
  }
  const options = words.filter((word) => word.startsWith('-'));
  const unknown = options.find((option) => !new RegExp(`^ +${option}(,| |$)`, 'm').test(help));
  return unknown === undefined ? undefined : `"${path.join(' ')}" has no option ${unknown}`;
}

/** Undefined for a command that does not exist. */
async function helpOf(path: readonly string[]): Promise<string | undefined> {
  const key = path.join(' ');
  const asked = helps.get(key) ?? runCommand([...path, '--help']).then(({ output }) => output);
  helps.set(key, asked);
  const output = await asked;
  return output.startsWith(`Usage: countersign ${key} `) ? output : undefined;
}

/** As Compose reads it: `<<` merges, as of YAML 1.1. */
export function parseYaml<Value>(text: string): Value {
  return parse(text, { merge: true }) as Value;
}
