import { sha256 } from '../kernel/digest.ts';

// RFC 6962 §2.1: the prefixes keep a leaf from being taken for a node.
const LEAF_PREFIX = Buffer.of(0);
const NODE_PREFIX = Buffer.of(1);

/** The roots of the perfect subtrees of a tree, largest first: all that appending needs. Their number is that of the ones in the size. */
export type Frontier = readonly Buffer[];

export function leafHash(data: string | Uint8Array): Buffer {
  return sha256(LEAF_PREFIX, data);
}

/** The frontier after one more leaf in a tree that had `size` leaves. */
export function appendLeaf(frontier: Frontier, size: number, leaf: Buffer): Frontier {
  const next = [...frontier];
  let hash = leaf;
  // Division, not shifts: sizes may pass 2^31.
  for (let rest = size; rest % 2 === 1; rest = Math.floor(rest / 2)) hash = nodeHash(next.pop()!, hash);
  next.push(hash);
  return next;
}

/** The Merkle tree hash of RFC 6962 §2.1; that of the empty tree is the hash of nothing. */
export function rootOf(frontier: Frontier): Buffer {
  if (frontier.length === 0) return sha256();
  return frontier.reduceRight((right, left) => nodeHash(left, right));
}

/** RFC 9162 §2.1.3.2: whether `leaf` is at `index` in the tree of `size` leaves with this root. */
export function isIncluded(
  claim: { readonly leaf: Buffer; readonly index: number; readonly size: number; readonly root: Buffer },
  proof: readonly Buffer[],
): boolean {
  if (!isIndex(claim.index) || !isIndex(claim.size) || claim.index >= claim.size) return false;
  let node = claim.index;
  let last = claim.size - 1;
  let hash = claim.leaf;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      hash = nodeHash(sibling, hash);
      for (; node % 2 === 0 && node !== 0; last = half(last)) node = half(node);
    } else {
      hash = nodeHash(hash, sibling);
    }
    node = half(node);
    last = half(last);
  }
  return last === 0 && hash.equals(claim.root);
}

/** RFC 9162 §2.1.4.2: whether the second tree holds the first tree, unchanged, at its start. */
export function isConsistent(
  first: { readonly size: number; readonly root: Buffer },
  second: { readonly size: number; readonly root: Buffer },
  proof: readonly Buffer[],
): boolean {
  if (!isIndex(first.size) || !isIndex(second.size) || first.size > second.size) return false;
  // Every tree grows from the empty one; an equal size needs no proof.
  if (first.size === 0) return proof.length === 0 && first.root.equals(rootOf([]));
  if (first.size === second.size) return proof.length === 0 && first.root.equals(second.root);
  // A perfect first tree is itself the first node of the path.
  const path = Number.isInteger(Math.log2(first.size)) ? [first.root, ...proof] : [...proof];
  let node = first.size - 1;
  let last = second.size - 1;
  for (; node % 2 === 1; last = half(last)) node = half(node);
  const start = path.shift();
  if (start === undefined) return false;
  let firstHash = start;
  let secondHash = start;
  for (const sibling of path) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      firstHash = nodeHash(sibling, firstHash);
      secondHash = nodeHash(sibling, secondHash);
      for (; node % 2 === 0 && node !== 0; last = half(last)) node = half(node);
    } else {
      secondHash = nodeHash(secondHash, sibling);
    }
    node = half(node);
    last = half(last);
  }
  return last === 0 && firstHash.equals(first.root) && secondHash.equals(second.root);
}

function nodeHash(left: Buffer, right: Buffer): Buffer {
  return sha256(NODE_PREFIX, left, right);
}

function half(value: number): number {
  return Math.floor(value / 2);
}

function isIndex(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
