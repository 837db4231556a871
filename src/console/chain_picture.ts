import { type Html, html } from '../kernel/html.ts';
import { markedLine } from '../kernel/marked_text.ts';
import { PICTURE_CHARACTERS_MAX } from './limits.ts';

export interface Link {
  /** What this one is: "Person", "Agent". */
  readonly role: string;
  readonly name: string;
  /** How it goes on to the next: "asked", "calls". Not used for the last. */
  readonly verb: string;
}

const BOX = { width: 190, height: 62, gap: 74 } as const;
/** More than fit beside each other in letters that can be read are drawn below each other everywhere. */
const LINKS_ACROSS_MAX = 4;
const DOWN = { width: 300, gap: 40 } as const;

/** On whose behalf a call is made and through what, as a picture: across on wide screens, down on a phone. */
export function chainPicture(links: readonly Link[]): Html {
  const words = links
    .map((link, index) => `${link.role} ${markedLine(link.name)}${index < links.length - 1 ? ` ${link.verb}` : ''}`)
    .join(' ');
  const isLong = links.length > LINKS_ACROSS_MAX;
  return html`<figure class="${isLong ? 'chain long' : 'chain'}">${!isLong && across(links, words)}${down(links, words)}</figure>`;
}

function across(links: readonly Link[], words: string): Html {
  const step = BOX.width + BOX.gap;
  const width = links.length * step - BOX.gap + 2;
  return html`<svg class="across" viewBox="0 0 ${width} ${BOX.height + 2}" role="img" aria-label="${words}">${links.map(
    (link, index) => {
      const x = index * step + 1;
      const end = x + BOX.width;
      return html`${box(link, x, 1, BOX.width)}${
        index < links.length - 1 &&
        html`<path class="line" d="M${end + 4} 32h${BOX.gap - 12}"/><path class="head" d="M${end + BOX.gap - 10} 28l7 4l-7 4z"/><text class="verb" x="${end + BOX.gap / 2 - 2}" y="24" text-anchor="middle">${link.verb}</text>`
      }`;
    },
  )}</svg>`;
}

function down(links: readonly Link[], words: string): Html {
  const step = BOX.height + DOWN.gap;
  const height = links.length * step - DOWN.gap + 2;
  return html`<svg class="down" viewBox="0 0 ${DOWN.width + 2} ${height}" role="img" aria-label="${words}">${links.map(
    (link, index) => {
      const y = index * step + 1;
      const end = y + BOX.height;
      return html`${box(link, 1, y, DOWN.width)}${
        index < links.length - 1 &&
        html`<path class="line" d="M26 ${end + 4}v${DOWN.gap - 12}"/><path class="head" d="M22 ${end + DOWN.gap - 10}l4 7l4 -7z"/><text class="verb" x="40" y="${end + DOWN.gap / 2 + 5}">${link.verb}</text>`
      }`;
    },
  )}</svg>`;
}

function box(link: Link, x: number, y: number, width: number): Html {
  const characters = Math.min(PICTURE_CHARACTERS_MAX, Math.floor((width - 28) / 8));
  return html`<rect x="${x}" y="${y}" width="${width}" height="${BOX.height}" rx="8"/><text class="role" x="${x + 14}" y="${y + 24}">${link.role}</text><text class="name" x="${x + 14}" y="${y + 46}">${shorten(markedLine(link.name), characters)}</text>`;
}

function shorten(text: string, characters: number): string {
  const all = [...text];
  return all.length <= characters ? text : `${all.slice(0, characters - 1).join('')}…`;
}
