import { markedLine } from '../kernel/marked_text.ts';
import { NOTICE_TEXT_CHARACTERS_MAX } from './limits.ts';

/** Agents choose most of these texts (invariant 9), and where a channel shows them we cannot escape. */
export function shownLine(text: string): string {
  const characters = [...markedLine(text.slice(0, NOTICE_TEXT_CHARACTERS_MAX + 1))];
  if (characters.length <= NOTICE_TEXT_CHARACTERS_MAX) return characters.join('');
  return `${characters.slice(0, NOTICE_TEXT_CHARACTERS_MAX).join('')}…`;
}
