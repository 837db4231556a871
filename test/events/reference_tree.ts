import { createHash } from 'node:crypto';

// The recursive definitions of RFC 6962 §2.1, to hold the iterative code in src/events/merkle.ts against.

export function treeHash(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return hash();
  if (leaves.length === 1) return hash(Buffer.of(0), leaves[0]!);
  const k = split(leaves.length);
  return hash(Buffer.of(1), treeHash(leaves.slice(0, k)), treeHash(leaves.slice(k)));
}

export function inclusionProof(index: number, leaves: readonly Buffer[]): Buffer[] {
  if (leaves.length <= 1) return [];
  const k = split(leaves.length);
  return index < k
    ? [...inclusionProof(index, leaves.slice(0, k)), treeHash(leaves.slice(k))]
    : [...inclusionProof(index - k, leaves.slice(k)), treeHash(leaves.slice(0, k))];
}

export function consistencyProof(size: number, leaves: readonly Buffer[], isWhole = true): Buffer[] {
  if (size === leaves.length) return isWhole ? [] : [treeHash(leaves)];
  const k = split(leaves.length);
  return size <= k
    ? [...consistencyProof(size, leaves.slice(0, k), isWhole), treeHash(leaves.slice(k))]
    : [...consistencyProof(size - k, leaves.slice(k), false), treeHash(leaves.slice(0, k))];
}

/** The largest power of two smaller than `size`. */
function split(size: number): number {
  let k = 1;
  while (k * 2 < size) k *= 2;
  return k;
}

function hash(...parts: Buffer[]): Buffer {
  const sha256 = createHash('sha256');
  for (const part of parts) sha256.update(part);
  return sha256.digest();
}
