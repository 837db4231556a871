import { type Html, html } from '../kernel/html.ts';
import { markedLine } from '../kernel/marked_text.ts';
import { PICTURE_CHARACTERS_MAX, TREE_ROWS_MAX } from './limits.ts';
import { plural } from './words.ts';

export interface TreeNode {
  readonly id: string;
  /** The hop or task above; null at the top. */
  readonly parentId: string | null;
  readonly name: string;
  /** Below the name: "4 tools, until 14:30". */
  readonly detail: string;
  readonly isOver: boolean;
}

interface Row {
  readonly node: TreeNode;
  readonly level: number;
  /** The row of the one above it; null for the first. */
  readonly above: number | null;
}

const BOX = { width: 250, height: 56, gap: 14, indent: 26 } as const;
/** Deeper hops are drawn at this level: chains end at eight. */
const LEVEL_MAX = 8;

/** Who handed work to whom, as a tree from the person down; reads the same on a phone. */
export function delegationTree(person: string, nodes: readonly TreeNode[]): Html {
  const rows = inOrder(nodes);
  const shown = rows.slice(0, TREE_ROWS_MAX);
  const step = BOX.height + BOX.gap;
  const levels = Math.max(...shown.map((row) => row.level), 0) + 1;
  const width = BOX.width + levels * BOX.indent + 2;
  const height = (shown.length + 1) * step - BOX.gap + 2;
  const words = `${markedLine(person)} asked. ${shown.map(({ node, above }) => describe(node, above === null ? person : shown[above]!.node.name)).join(' ')}`;
  return html`<figure class="tree"><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${words}">${box(0, 0, person, 'asked', false)}${shown.map(
    ({ node, level, above }, index) =>
      html`${connector(above === null ? 0 : above + 1, above === null ? 0 : shown[above]!.level + 1, index + 1, level + 1)}${box(index + 1, level + 1, node.name, node.detail, node.isOver)}`,
  )}</svg>${
    rows.length > shown.length &&
    html`<figcaption class="muted">and ${plural(rows.length - shown.length, 'more hop')}, in the table below</figcaption>`
  }</figure>`;
}

function describe(node: TreeNode, from: string): string {
  return `${markedLine(from)} to ${markedLine(node.name)}: ${node.detail}.`;
}

/** Depth first, so that everything stands below what it came from. What names nothing that is here stands at the top. */
function inOrder(nodes: readonly TreeNode[]): Row[] {
  const known = new Set(nodes.map((node) => node.id));
  const below = new Map<string | null, TreeNode[]>();
  for (const node of nodes) {
    const parent = node.parentId !== null && known.has(node.parentId) ? node.parentId : null;
    below.set(parent, [...(below.get(parent) ?? []), node]);
  }
  const rows: Row[] = [];
  const add = (parent: string | null, level: number, above: number | null) => {
    for (const node of below.get(parent) ?? []) {
      rows.push({ node, level: Math.min(level, LEVEL_MAX), above });
      add(node.id, level + 1, rows.length - 1);
    }
  };
  add(null, 0, null);
  return rows;
}

function box(row: number, level: number, name: string, detail: string, isOver: boolean): Html {
  const x = level * BOX.indent + 1;
  const y = row * (BOX.height + BOX.gap) + 1;
  return html`<g class="${isOver ? 'over' : ''}"><rect x="${x}" y="${y}" width="${BOX.width}" height="${BOX.height}" rx="8"/><text class="name" x="${x + 12}" y="${y + 24}">${shorten(markedLine(name))}</text><text class="role" x="${x + 12}" y="${y + 44}">${shorten(detail)}</text></g>`;
}

function connector(fromRow: number, fromLevel: number, toRow: number, toLevel: number): Html {
  const step = BOX.height + BOX.gap;
  const x = fromLevel * BOX.indent + 13;
  const bottom = fromRow * step + BOX.height + 1;
  const middle = toRow * step + BOX.height / 2 + 1;
  return html`<path class="line" d="M${x} ${bottom}V${middle}H${toLevel * BOX.indent - 5}"/><path class="head" d="M${toLevel * BOX.indent - 6} ${middle - 4}l6 4l-6 4z"/>`;
}

function shorten(text: string): string {
  const all = [...text];
  return all.length <= PICTURE_CHARACTERS_MAX ? text : `${all.slice(0, PICTURE_CHARACTERS_MAX - 1).join('')}…`;
}
