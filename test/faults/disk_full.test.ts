import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Client } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mountSmallDisk, type SmallDisk } from './disk.ts';
import { call, Installation, until } from './installation.ts';
import { query, readRecord } from './records.ts';

// F8, disk full: what cannot be stored is refused and changes nothing; with space back it goes on without a restart.

/** A new cluster takes about 70 MB; the rest is what the test uses up. */
const DISK_MEGABYTES = 192;
/** Near the most that anyone can review: each needs new pages. */
const LARGE_BYTES = 30_000;
const ATTEMPTS = 5;

let disk: SmallDisk;
let place: Installation;
let client: Client;

beforeAll(async () => {
  disk = mountSmallDisk(DISK_MEGABYTES);
  place = await Installation.open('disk', { dataDirectory: join(disk.directory, 'data') });
  client = await place.connect();
}, 120_000);
afterAll(async () => {
  disk?.empty();
  await place?.close();
  disk?.remove();
});

const counts = () =>
  query(
    place.dataDirectory,
    `select (select count(*)::int from step_ups) as step_ups, (select count(*)::int from decisions) as decisions,
       (select count(*)::int from redemptions) as redemptions`,
  );

test('F8: a full disk refuses the call, changes nothing, and with space back the same call goes on', async () => {
  const approved = await place.approved(client, 'append', 'approved before');
  const before = await counts();
  disk.fill();
  const large = Array.from({ length: ATTEMPTS }, () => randomBytes(LARGE_BYTES).toString('hex'));
  for (const line of large) {
    expect(await call(client, 'append', line)).toMatchObject({ verdict: { code: 'unavailable' }, isError: true });
  }
  expect(await counts()).toEqual(before);
  expect((await fetch(`${place.issuer}/livez`)).status).toBe(200);
  // A small write may still find room in a page there is: it is redeemed and runs, or neither.
  await call(client, 'append', 'approved before');
  expect((await readRecord(place.dataDirectory, approved.stepUpId)).redemptions).toBe(place.runs('approved before'));

  disk.empty();
  await until('the refused call waits for approval', async () => {
    const { verdict } = await call(client, 'append', large[0]!);
    return verdict?.kind === 'waiting' ? true : undefined;
  });
  await place.approved(client, 'append', 'approved after');
  for (const line of ['approved after', 'approved before']) await call(client, 'append', line);
  expect([place.runs('approved after'), place.runs('approved before'), place.runs(large[0]!)]).toEqual([1, 1, 0]);
  await place.audit();
}, 180_000);
