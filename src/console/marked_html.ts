import { type Html, html } from '../kernel/html.ts';
import { type MarkKind, markText, type Segment } from '../kernel/marked_text.ts';

/** What a mark means, in words for the person who decides. */
export const MARK_WORDS: Readonly<Record<MarkKind, string>> = {
  direction: 'signs that reverse the direction of text, so that it reads in another order than it runs',
  invisible: 'characters that cannot be seen',
  tag: 'invisible tag characters, which can carry a hidden message to a machine',
  control: 'control characters, which can change what a terminal shows',
  look_alike: 'letters or signs of another alphabet that look like ordinary ones',
  not_normal: 'letters put together in an unusual way, which look the same but are different characters',
  space: 'unusual spaces',
  unassigned: 'characters that have no agreed meaning',
  padding: 'a long blank stretch, which can push text out of sight',
};

/** Text from outside, with line breaks and odd characters visible. Line break signs come from the style sheet. */
export function markedHtml(text: string): Html {
  return html`${markText(text).map(segmentHtml)}`;
}

function segmentHtml(segment: Segment): Html | string {
  switch (segment.kind) {
    case 'plain':
      return segment.text;
    case 'line_break':
      return segment.text === '\n' ? html`<i></i>${'\n'}` : html`<i class="cr"></i>${'\n'}`;
    case 'tab':
      return html`<i class="tab"></i>${'\t'}`;
    case 'marked':
      return html`<mark>⟨${segment.label}⟩</mark>`;
  }
}

/** Which kinds of marks a text needs. */
export function kindsOfMarks(text: string): ReadonlySet<MarkKind> {
  return new Set(markText(text).flatMap((segment) => (segment.kind === 'marked' ? [segment.what] : [])));
}
