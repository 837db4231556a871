import type { Page } from 'playwright-core';
import type { BrowserProvider, Callback, Connection } from './interactive_client.ts';

export interface Consenting {
  /** The only tools to leave ticked; all if not said. */
  readonly tools?: readonly string[];
  readonly purpose?: string;
  /** The words beside the wanted duration. */
  readonly duration?: string;
}

/** Fills in the consent page as a person does and allows it. */
export async function allow(page: Page, { tools, purpose, duration }: Consenting = {}): Promise<void> {
  const boxes = page.getByRole('checkbox');
  if (tools !== undefined) {
    for (const box of await boxes.all()) {
      const name = ((await box.getAttribute('name')) ?? '').replace(/^tool:/, '');
      if (!tools.includes(name)) await box.uncheck();
    }
  }
  if (purpose !== undefined) await page.getByLabel('What is it for?').fill(purpose);
  if (duration !== undefined) await page.getByRole('radio', { name: duration, exact: true }).check();
  await page.getByRole('button', { name: /^Allow / }).click();
}

/** Connects a client that has no tokens: it is refused, the signed-in person consents in the browser, it connects. */
export async function connectByConsent(
  connection: Connection,
  callback: Callback,
  page: Page,
  consenting: Consenting = {},
): Promise<void> {
  await connection.connect().then(
    () => {
      throw new Error('The client connected without a token.');
    },
    () => {},
  );
  await page.goto(lastOpened(connection.provider).href);
  await allow(page, consenting);
  await connection.finishAuth(await callback.next());
  await connection.connect();
}

/** The page the client wanted opened last. */
export function lastOpened(provider: BrowserProvider): URL {
  const url = provider.opened.at(-1);
  if (url === undefined) throw new Error('The client opened no browser.');
  return url;
}
