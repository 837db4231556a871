import { describe, expect, it } from 'vitest';
import { appendLeaf, type Frontier, isConsistent, isIncluded, leafHash, rootOf } from '../../src/events/merkle.ts';
import { consistencyProof, inclusionProof, treeHash } from './reference_tree.ts';

// The vectors of the certificate-transparency project: eight leaves and the root after each.
const LEAVES = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const ROOTS = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];
const EMPTY_ROOT = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

const leavesOf = (count: number) => Array.from({ length: count }, (_, index) => Buffer.from(`leaf ${index}`));

describe('the Merkle tree (RFC 6962)', () => {
  it('gives the published roots', () => {
    let frontier: Frontier = [];
    expect(rootOf(frontier).toString('hex')).toBe(EMPTY_ROOT);
    for (const [size, leaf] of LEAVES.entries()) {
      frontier = appendLeaf(frontier, size, leafHash(Buffer.from(leaf, 'hex')));
      expect(rootOf(frontier).toString('hex'), `size ${size + 1}`).toBe(ROOTS[size]);
    }
  });

  it('gives the roots of the recursive definition at every size, from as few hashes as the size has ones', () => {
    const leaves = leavesOf(130);
    let frontier: Frontier = [];
    for (const [size, leaf] of leaves.entries()) {
      frontier = appendLeaf(frontier, size, leafHash(leaf));
      expect(rootOf(frontier)).toEqual(treeHash(leaves.slice(0, size + 1)));
      expect(frontier).toHaveLength([...(size + 1).toString(2)].filter((bit) => bit === '1').length);
    }
  });

  it('accepts every true inclusion proof and no changed one', () => {
    for (let size = 1; size <= 17; size += 1) {
      const leaves = leavesOf(size);
      const root = treeHash(leaves);
      for (let index = 0; index < size; index += 1) {
        const claim = { leaf: leafHash(leaves[index]!), index, size, root };
        const proof = inclusionProof(index, leaves);
        expect(isIncluded(claim, proof)).toBe(true);
        expect(isIncluded({ ...claim, leaf: leafHash('another') }, proof)).toBe(false);
        expect(isIncluded({ ...claim, index: size }, proof)).toBe(false);
        if (size > 1) expect(isIncluded({ ...claim, index: (index + 1) % size }, proof)).toBe(false);
        expect(isIncluded(claim, [...proof, root])).toBe(false);
        if (proof.length > 0) expect(isIncluded(claim, proof.slice(1))).toBe(false);
        for (const changed of proof.keys()) {
          expect(isIncluded(claim, proof.with(changed, leafHash('another')))).toBe(false);
        }
      }
    }
    expect(isIncluded({ leaf: leafHash(''), index: -1, size: 1, root: leafHash('') }, [])).toBe(false);
  });

  it('accepts every true consistency proof and no changed one', () => {
    for (let size = 1; size <= 17; size += 1) {
      const leaves = leavesOf(size);
      const second = { size, root: treeHash(leaves) };
      for (let earlier = 1; earlier <= size; earlier += 1) {
        const first = { size: earlier, root: treeHash(leaves.slice(0, earlier)) };
        const proof = consistencyProof(earlier, leaves);
        expect(isConsistent(first, second, proof), `${earlier} of ${size}`).toBe(true);
        expect(isConsistent({ ...first, root: leafHash('another') }, second, proof)).toBe(false);
        expect(isConsistent(first, { ...second, root: leafHash('another') }, proof)).toBe(false);
        expect(isConsistent(first, second, [...proof, first.root])).toBe(false);
        if (proof.length > 0) expect(isConsistent(first, second, proof.slice(1))).toBe(false);
        for (const changed of proof.keys()) {
          expect(isConsistent(first, second, proof.with(changed, leafHash('another')))).toBe(false);
        }
      }
    }
  });

  it('lets every tree grow from the empty one, and none shrink', () => {
    const empty = { size: 0, root: Buffer.from(EMPTY_ROOT, 'hex') };
    const full = { size: 3, root: treeHash(leavesOf(3)) };
    expect(isConsistent(empty, full, [])).toBe(true);
    expect(isConsistent({ size: 0, root: leafHash('') }, full, [])).toBe(false);
    expect(isConsistent(full, empty, [])).toBe(false);
  });
});
