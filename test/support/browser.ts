import { existsSync } from 'node:fs';
import { type Browser, type CDPSession, chromium, type Page } from 'playwright-core';

const EXECUTABLES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/local/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const VIEWPORTS = {
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
  desktop: { viewport: { width: 1280, height: 900 } },
} as const;

const ACTION_TIMEOUT_MS = 10_000;

export interface PageOptions {
  readonly device?: keyof typeof VIEWPORTS;
  readonly colorScheme?: 'light' | 'dark';
  readonly javaScriptEnabled?: boolean;
}

export interface TestBrowser {
  readonly browser: Browser;
  /** A page in a fresh profile: no cookie or passkey of another test reaches it. */
  newPage(options?: PageOptions): Promise<Page>;
  close(): Promise<void>;
}

export async function launchBrowser(): Promise<TestBrowser> {
  const executablePath = EXECUTABLES.find((path) => existsSync(path));
  if (executablePath === undefined) throw new Error('Chromium is not installed. Run: apt-get install chromium');
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  return {
    browser,
    newPage: async ({ device = 'desktop', colorScheme = 'light', javaScriptEnabled = true } = {}) => {
      const context = await browser.newContext({ ...VIEWPORTS[device], colorScheme, javaScriptEnabled });
      context.setDefaultTimeout(ACTION_TIMEOUT_MS);
      return context.newPage();
    },
    close: () => browser.close(),
  };
}

export interface VirtualAuthenticator {
  readonly session: CDPSession;
  readonly authenticatorId: string;
  /** Whether the person passes verification (fingerprint, PIN) when asked. */
  setUserVerified(isUserVerified: boolean): Promise<void>;
  credentialCount(): Promise<number>;
}

/** A platform passkey that answers at once, as a person who touches the sensor would. WebAuthn needs https or localhost. */
export async function withVirtualAuthenticator(page: Page): Promise<VirtualAuthenticator> {
  const session = await page.context().newCDPSession(page);
  await session.send('WebAuthn.enable');
  const { authenticatorId } = await session.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  return {
    session,
    authenticatorId,
    setUserVerified: async (isUserVerified) => {
      await session.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified });
    },
    credentialCount: async () => {
      const { credentials } = await session.send('WebAuthn.getCredentials', { authenticatorId });
      return credentials.length;
    },
  };
}
