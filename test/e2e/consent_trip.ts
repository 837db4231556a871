import type { Page } from 'playwright-core';
import type { BrowserProvider, Callback, Connection } from './interactive_client.ts';
import type { World } from './world.ts';

// Which of several radio buttons is chosen is the script's to say.
const ONE_HOUR = { seconds: '3600' };

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
  await refusedAtFirst(connection);
  await page.goto(lastOpened(connection.provider).href);
  await allow(page, consenting);
  await connection.finishAuth(await callback.next());
  await connection.connect();
}

/** The same without a browser, where consent is not what is tested: the administrator allows what the page proposes. */
export async function connectByScript(connection: Connection, { operator }: Pick<World, 'operator'>): Promise<void> {
  await refusedAtFirst(connection);
  const consent = await operator.open(lastOpened(connection.provider).href);
  const back = await operator.submit(consent, { action: /\/consent$/, having: { decision: 'allow' } }, ONE_HOUR);
  await connection.finishAuth(new URL(back.url).searchParams);
  await connection.connect();
}

function refusedAtFirst(connection: Connection): Promise<void> {
  return connection.connect().then(
    () => {
      throw new Error('The client connected without a token.');
    },
    () => {},
  );
}

/** The page the client wanted opened last. */
export function lastOpened(provider: BrowserProvider): URL {
  const url = provider.opened.at(-1);
  if (url === undefined) throw new Error('The client opened no browser.');
  return url;
}
