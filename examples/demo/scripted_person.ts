/** A person without a browser: keeps cookies, reads pages, fills in forms and posts them as a browser would. */
export class ScriptedPerson {
  readonly #issuer: string;
  readonly #cookies = new Map<string, string>();

  constructor(issuer: string) {
    this.#issuer = issuer;
  }

  /** Opens a page of the issuer, following its own redirects; a redirect to elsewhere is returned as it is. */
  async open(address: string): Promise<Page> {
    return this.#request(new URL(address, this.#issuer), { method: 'GET' });
  }

  /** Fills in the form of a page that posts to `action` and matches `having`, and posts it. */
  async submit(
    page: Page,
    form: { readonly action: RegExp; readonly having?: Readonly<Record<string, string>> },
    fields: Readonly<Record<string, string>> = {},
  ): Promise<Page> {
    const found = readForms(page.html).find(
      (one) =>
        form.action.test(one.action) &&
        Object.entries(form.having ?? {}).every(([name, value]) => one.fields.get(name) === value),
    );
    if (found === undefined) {
      throw new Error(`There is no form ${form.action} on ${page.url} (${page.status}):\n${textOf(page.html)}`);
    }
    const body = new URLSearchParams([...found.fields].filter(([name]) => !Object.hasOwn(fields, name)));
    for (const [name, value] of Object.entries(fields)) body.set(name, value);
    return this.#request(new URL(found.action, page.url), {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: new URL(this.#issuer).origin },
    });
  }

  async #request(url: URL, init: RequestInit, hops = 0): Promise<Page> {
    const headers = new Headers(init.headers);
    if (this.#cookies.size > 0) {
      headers.set('cookie', [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; '));
    }
    const response = await fetch(url, { ...init, headers, redirect: 'manual' });
    for (const cookie of response.headers.getSetCookie()) {
      const [pair = ''] = cookie.split(';');
      const at = pair.indexOf('=');
      const value = pair.slice(at + 1);
      if (value === '') this.#cookies.delete(pair.slice(0, at));
      else this.#cookies.set(pair.slice(0, at), value);
    }
    const location = response.headers.get('location');
    if (response.status >= 300 && response.status < 400 && location !== null) {
      await response.body?.cancel();
      const next = new URL(location, url);
      const isElsewhere = next.origin !== new URL(this.#issuer).origin;
      if (isElsewhere || hops >= 10) return { url: next.href, status: response.status, html: '', isElsewhere };
      return this.#request(next, { method: 'GET' }, hops + 1);
    }
    return { url: url.href, status: response.status, html: await response.text(), isElsewhere: false };
  }
}

export interface Page {
  readonly url: string;
  readonly status: number;
  readonly html: string;
  /** The last redirect leads to another site; `url` is where, and nothing was fetched there. */
  readonly isElsewhere: boolean;
}

/** The words of a page, without its markup. */
export function textOf(html: string): string {
  return unescapeHtml(html.replace(/<(style|script|head)[\s\S]*?<\/\1>/g, '').replace(/<[^>]*>/g, ' '))
    .replace(/\s+/g, ' ')
    .trim();
}

interface Form {
  readonly action: string;
  readonly fields: Map<string, string>;
}

function readForms(html: string): Form[] {
  return [...html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/g)].map(([, attributes = '', inner = '']) => ({
    action: attribute(attributes, 'action') ?? '',
    fields: readFields(inner),
  }));
}

function readFields(html: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const [, attributes = ''] of html.matchAll(/<input\b([^>]*)>/g)) {
    const name = attribute(attributes, 'name');
    const type = attribute(attributes, 'type') ?? 'text';
    const isLeftOut = (type === 'checkbox' || type === 'radio') && !/\bchecked\b/.test(attributes);
    if (name !== undefined && !isLeftOut) fields.set(name, attribute(attributes, 'value') ?? '');
  }
  for (const [, attributes = '', text = ''] of html.matchAll(/<textarea\b([^>]*)>([\s\S]*?)<\/textarea>/g)) {
    const name = attribute(attributes, 'name');
    if (name !== undefined) fields.set(name, unescapeHtml(text));
  }
  for (const [, attributes = '', options = ''] of html.matchAll(/<select\b([^>]*)>([\s\S]*?)<\/select>/g)) {
    const name = attribute(attributes, 'name');
    const all = [...options.matchAll(/<option\b([^>]*)>/g)].map((option) => option[1] ?? '');
    const chosen = all.find((option) => /\bselected\b/.test(option)) ?? all[0];
    if (name !== undefined && chosen !== undefined) fields.set(name, attribute(chosen, 'value') ?? '');
  }
  return fields;
}

function attribute(attributes: string, name: string): string | undefined {
  const found = new RegExp(`\\b${name}="([^"]*)"`).exec(attributes);
  return found === null ? undefined : unescapeHtml(found[1] ?? '');
}

function unescapeHtml(text: string): string {
  return text
    .replace(/&#x([0-9a-f]+);/gi, (_, code: string) => String.fromCodePoint(Number.parseInt(code, 16)))
    .replace(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code)))
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&amp;/g, '&');
}
