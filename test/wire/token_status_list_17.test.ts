import { describe, expect, it } from 'vitest';
import { isInvalid, STATUSES_PER_LIST, statusReference, writeStatusList } from '../../src/wire/token_status_list_17.ts';

/** draft-ietf-oauth-status-list-17 §4.1 and §4.2: the example of one bit for each token. */
const EXAMPLE = { statuses: [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1], lst: 'eNrbuRgAAhcBXQ' };

describe('a token status list', () => {
  it('is read as the example of the draft', () => {
    const read = EXAMPLE.statuses.map((_, index) => isInvalid({ bits: 1, lst: EXAMPLE.lst }, index));
    expect(read).toEqual(EXAMPLE.statuses.map((status) => status === 1));
    expect(isInvalid({ bits: 1, lst: EXAMPLE.lst }, EXAMPLE.statuses.length)).toBeNull();
  });

  it('is written with the bits that were named, and no others', () => {
    const places = [0, 7, 8, 4_711, STATUSES_PER_LIST - 1];
    const list = writeStatusList(places);
    const set = Array.from({ length: STATUSES_PER_LIST }, (_, index) => index).filter((index) => {
      return index % 97 === 0 || places.includes(index) ? isInvalid(list, index) : false;
    });
    expect(set).toEqual(places);
    expect(list.lst.length).toBeLessThan(200);
  });

  it('numbers go on in the next list, which has an address of its own', () => {
    expect(statusReference('https://as.example', 0)).toEqual({
      status_list: { idx: 0, uri: 'https://as.example/token-statuses/1' },
    });
    expect(statusReference('https://as.example', STATUSES_PER_LIST + 5)).toEqual({
      status_list: { idx: 5, uri: 'https://as.example/token-statuses/2' },
    });
  });
});
