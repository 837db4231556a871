import { type Html, type HtmlPart, html } from '../kernel/html.ts';
import type { Rules } from '../model/rules.ts';
import { basePathOf, rebase } from './base_path.ts';

/** What surrounds every page: who looks at it and in which mode the server runs. */
export interface Frame {
  readonly person: { readonly displayName: string; readonly isAdministrator: boolean } | null;
  readonly singleOperator: boolean;
  /** The path of the issuer; see `rebase`. */
  readonly base: string;
  /** The token of the sign-out form; null when nobody is signed in. */
  readonly signOutToken: string | null;
}

export interface Page {
  readonly title: string;
  readonly body: Html;
  /** Which entry of the navigation this page belongs to. */
  readonly section?: Section;
  /** Scripts beside the one that writes times in the reader's zone, by asset name. */
  readonly scripts?: readonly string[];
  /** Pages with one task leave the navigation out, so that nothing competes with it. */
  readonly isFocused?: boolean;
  /** Load the page again after this many seconds, also without JavaScript. */
  readonly refreshSeconds?: number;
}

const SECTIONS = [
  { name: 'approvals', path: '/', label: 'Approvals', forAdministrators: false },
  { name: 'tasks', path: '/tasks', label: 'Tasks', forAdministrators: false },
  { name: 'agents', path: '/agents', label: 'Agents', forAdministrators: false },
  { name: 'tool_servers', path: '/tool-servers', label: 'Tool servers', forAdministrators: true },
  { name: 'people', path: '/people', label: 'People', forAdministrators: true },
  { name: 'audit', path: '/audit', label: 'Audit', forAdministrators: true },
] as const;
export type Section = (typeof SECTIONS)[number]['name'] | 'account';

/** A frame for pages shown before anybody is known. */
export function anonymousFrame(store: {
  readonly rules: Pick<Rules, 'singleOperator'>;
  readonly issuer: string;
}): Frame {
  return {
    person: null,
    singleOperator: store.rules.singleOperator,
    base: basePathOf(store.issuer),
    signOutToken: null,
  };
}

export function renderPage(frame: Frame, page: Page): string {
  const scripts = ['times.js', ...(page.scripts ?? [])];
  const written = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
${page.refreshSeconds !== undefined && html`<meta http-equiv="refresh" content="${page.refreshSeconds}">\n`}<title>${page.title} · Countersign</title>
<link rel="stylesheet" href="/assets/console.css">
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
${scripts.map((name) => html`<script src="/assets/${name}" defer></script>\n`)}</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
${frame.singleOperator && singleOperatorBanner()}
<header class="top"><div class="wide">
<a class="brand" href="/">Countersign</a>
${page.isFocused !== true && frame.person !== null && navigation(frame.person.isAdministrator, page.section)}
${frame.person !== null && account(frame.person.displayName, frame.signOutToken)}
</div></header>
<main id="main" class="wide" tabindex="-1">
${page.body}
</main>
</body>
</html>
`;
  return rebase(written.toString(), frame.base);
}

function singleOperatorBanner(): HtmlPart {
  return html`<p class="mode" role="note"><span class="wide"><strong>Single-operator mode.</strong> One person may approve their own agent here without a passkey. Not for production.</span></p>`;
}

function navigation(isAdministrator: boolean, current: Section | undefined): HtmlPart {
  const entries = SECTIONS.filter((section) => isAdministrator || !section.forAdministrators);
  return html`<nav aria-label="Sections"><ul>${entries.map(
    (section) =>
      html`<li>${
        section.name === current
          ? html`<a href="${section.path}" aria-current="page">${section.label}</a>`
          : html`<a href="${section.path}">${section.label}</a>`
      }</li>`,
  )}</ul></nav>`;
}

function account(name: string, signOutToken: string | null): HtmlPart {
  return html`<div class="who"><a href="/account">${name}</a>${
    signOutToken !== null &&
    html`<form method="post" action="/sign-out"><input type="hidden" name="csrf" value="${signOutToken}"><button class="quiet">Sign out</button></form>`
  }</div>`;
}
