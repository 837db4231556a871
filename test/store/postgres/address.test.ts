import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseDatabaseUrl } from '../../../src/store/postgres/address.ts';
import { makeScratchDirectory } from '../../support/scratch.ts';

const read = (url: string) => {
  const parsed = parseDatabaseUrl(url);
  if (!parsed.ok) throw new Error(parsed.refusal);
  return parsed.value;
};

test('host, port, database, user and password, decoded', () => {
  expect(read('postgres://count%40sign:p%2Fw%40d@db.example:6432/counter%20sign')).toEqual({
    host: 'db.example',
    port: 6432,
    database: 'counter sign',
    user: 'count@sign',
    password: 'p/w@d',
    ssl: false,
  });
  // Without a password, PGPASSWORD or ~/.pgpass say it; without a user, PGUSER or the name of the process's user.
  expect(read('postgresql://[::1]/countersign')).toEqual({
    host: '::1',
    port: 5432,
    database: 'countersign',
    ssl: false,
  });
});

test('a Unix socket', () => {
  const socket = { host: '/run/postgresql', port: 5433, database: 'countersign', ssl: false };
  expect(read('postgres://me@/countersign?host=/run/postgresql&port=5433')).toEqual({ ...socket, user: 'me' });
  expect(read('postgres://localhost/countersign?host=%2Frun%2Fpostgresql&port=5433')).toEqual(socket);
});

test.each([
  ['', false],
  ['?sslmode=disable', false],
  ['?sslmode=verify-full', { rejectUnauthorized: true }],
  ['?sslmode=verify-ca', { rejectUnauthorized: true }],
  ['?sslmode=require', { rejectUnauthorized: true }],
  ['?sslmode=no-verify', { rejectUnauthorized: false }],
])('"%s" means %o', (parameters, ssl) => {
  expect(read(`postgres://me@db.example/countersign${parameters}`).ssl).toEqual(ssl);
});

test('the files of TLS are read, and turn the check on', async () => {
  const file = join(await makeScratchDirectory('address'), 'root.pem');
  await writeFile(file, 'PEM');
  expect(read(`postgres://db.example/x?sslrootcert=${file}`).ssl).toEqual({ rejectUnauthorized: true, ca: 'PEM' });
});

test.each([
  [
    'postgres://me:secret@a.example:5432,b.example:5432/x',
    /Several hosts cannot be named\..*follows|always leads to the primary/,
  ],
  ['postgres://me:secret@a.example,b.example/x', /Several hosts/],
  ['postgres://me:secret@db.example/x?options=-c%20synchronous_commit%3Doff', /"options" is not supported/],
  ['postgres://me:secret@db.example/x?statement_timeout=0', /"statement_timeout" is not supported/],
  ['postgres://me:secret@db.example/x?sslmode=prefer', /sslmode=prefer is not supported/],
  ['postgres://me:secret@db.example/x?sslmode=disable&sslrootcert=a.pem', /leaves no use/],
  ['postgres://me:secret@db.example/x?sslrootcert=/nowhere/a.pem', /cannot be read/],
  ['postgres://me:secret@/x?host=/run/postgresql&sslmode=require', /socket is not encrypted/],
  ['postgres://me:secret@db.example/x?target_session_attrs=any', /would use a standby/],
  ['postgres://me:secret@db.example', /no database/],
  ['postgres://me:sec/ret@db.example/x', /Encode what is special/],
  ['mysql://me:secret@db.example/x', /postgres:\/\/user@host/],
])('%s is refused, without the password', (url, message) => {
  const parsed = parseDatabaseUrl(url);
  expect(parsed).toMatchObject({ ok: false, refusal: expect.stringMatching(message) });
  expect(JSON.stringify(parsed)).not.toMatch(/sec\/?ret/);
});
