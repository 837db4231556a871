/** Text that is HTML already. Only `html` makes it, so that whatever came from outside is escaped on its way in. */
export class Html {
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  toString(): string {
    return this.#text;
  }
}

/** What may stand in a template: text is escaped; null, undefined and false leave nothing; lists are joined. */
export type HtmlPart = Html | string | number | false | null | undefined | readonly HtmlPart[];

/** Writes HTML with every value escaped, in text as in quoted attributes. Values in unquoted attributes are a bug. */
export function html(strings: TemplateStringsArray, ...parts: readonly HtmlPart[]): Html {
  const written: string[] = [strings[0]!];
  for (const [index, part] of parts.entries()) {
    if (/\s[A-Za-z-]+=$/.test(strings[index]!)) {
      throw new TypeError(
        `Quote the attribute before value ${index + 1} of this template: ${strings[index]!.slice(-40)}`,
      );
    }
    write(part, written);
    written.push(strings[index + 1]!);
  }
  return new Html(written.join(''));
}

function write(part: HtmlPart, written: string[]): void {
  if (part === null || part === undefined || part === false) return;
  if (part instanceof Html) written.push(part.toString());
  else if (Array.isArray(part)) for (const item of part as readonly HtmlPart[]) write(item, written);
  else if (typeof part === 'string') written.push(escapeHtml(part));
  else if (typeof part === 'number') written.push(String(part));
  else throw new TypeError(`A ${typeof part} cannot stand in a page.`);
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character]!);
}
