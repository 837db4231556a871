import { type Html, html } from '../kernel/html.ts';
import type { StepUpView } from '../model/step_up_view.ts';
import { TARGET_CHARACTERS_MAX } from './limits.ts';
import { markedHtml } from './marked_html.ts';

/** The sentence a colleague would say: "Notes agent wants to run write_file on files with path plan.md, for Ada". */
export function headline(view: StepUpView, viewerId: string): Html {
  const target = targetOf(view);
  const forWhom = view.requester.id === viewerId ? html`you` : markedHtml(view.requester.name);
  return html`${markedHtml(view.agent.name)} wants to ${verb(view)} on ${markedHtml(view.toolServer.name)}${
    target !== null && html` with ${target.name} <code>${markedHtml(target.text)}</code>`
  }, for ${forWhom}`;
}

function verb(view: StepUpView): Html {
  const name = html`<code>${markedHtml(view.tool.name)}</code>`;
  switch (view.method) {
    case 'resources/read':
      return html`read ${name}`;
    case 'prompts/get':
      return html`use the prompt ${name}`;
    case 'resources/subscribe':
      return html`follow ${name}`;
    default:
      return html`run ${name}`;
  }
}

/** Names of arguments that usually say what a call is about, the most telling first. */
const TELLING = [
  'path',
  'file',
  'uri',
  'url',
  'destination',
  'to',
  'recipient',
  'repository',
  'repo',
  'id',
  'name',
  'title',
];

/** One short text argument that says what the call is about. It is shown again, whole, with all the others. */
export function targetOf(call: Pick<StepUpView, 'arguments'>): { name: Html; text: string } | null {
  const short = Object.entries(call.arguments ?? {}).filter(
    (entry): entry is [string, string] =>
      typeof entry[1] === 'string' &&
      entry[1] !== '' &&
      entry[1].length <= TARGET_CHARACTERS_MAX &&
      !/[\n\r]/.test(entry[1]),
  );
  const telling = TELLING.flatMap((name) => short.filter((entry) => entry[0] === name))[0] ?? short[0];
  return telling === undefined ? null : { name: markedHtml(telling[0]), text: telling[1] };
}
