import { createHash } from 'node:crypto';
import { RECEIPT_MS } from './limits.ts';

/** A script as it is sent: by its digest, and whole to a server that does not know it yet. */
export interface Script {
  readonly source: string;
  readonly sha: string;
  readonly hasReceipt: boolean;
}

// KEYS: the epoch's mark, the receipt if there is one, the entry; all on one slot. ARGV: the epoch's servers, then what
// the body reads. With "#!lua" Redis refuses the whole script on a replica, when it is full, and across slots.
const HEAD = `#!lua
local info = redis.call('INFO', 'replication')
local server = string.match(info, 'master_replid:(%x+)')
if not server or not string.find(info, 'role:master', 1, true) or not string.find(ARGV[1], server, 1, true)
  or redis.call('EXISTS', KEYS[1]) == 0 then
  return { 'lost' }
end
`;

/** The body may run twice with the same outcome. */
function repeatable(body: string): Script {
  return script(`${HEAD}local entry = KEYS[2]\nlocal function run()${body}end\nreturn { 'done', run() }\n`, false);
}

/**
 * The body must not run twice: it answers with text or nothing, and whether it changed anything. If it did, the answer is
 * kept for a while under the id of the request, and given again to a caller who lost it.
 */
function once(body: string): Script {
  const source = `${HEAD}local entry = KEYS[3]
local receipt = redis.call('GET', KEYS[2])
if receipt then return { 'done', receipt } end
local function run()${body}end
local answer, changed = run()
if changed then redis.call('SET', KEYS[2], answer, 'PX', '${RECEIPT_MS}') end
return { 'done', answer }
`;
  return script(source, true);
}

function script(source: string, hasReceipt: boolean): Script {
  return { source, sha: createHash('sha1').update(source).digest('hex'), hasReceipt };
}

const SAVE = `
  redis.call('DEL', entry)
  redis.call('HSET', entry, 'payload', ARGV[2])
  redis.call('PEXPIRE', entry, ARGV[3])
  return 'saved', true
`;

/** Everything Redis does for us besides carrying wake-ups. */
export const SCRIPTS = {
  get: repeatable(`
  return redis.call('GET', entry)
`),
  delete: repeatable(`
  redis.call('UNLINK', entry)
`),
  put: once(`
  redis.call('SET', entry, ARGV[2], 'PX', ARGV[3])
  return '', true
`),
  take: once(`
  local value = redis.call('GETDEL', entry)
  return value, value ~= false
`),
  putIfAbsent: once(`
  if not redis.call('SET', entry, ARGV[2], 'NX', 'PX', ARGV[3]) then return 'present', false end
  return 'put', true
`),
  increment: once(`
  local count = redis.call('INCR', entry)
  if count == 1 then redis.call('PEXPIRE', entry, ARGV[2]) end
  return string.format('%.0f', count), true
`),

  findArtifact: repeatable(`
  return redis.call('HMGET', entry, 'payload', 'consumed')
`),
  saveArtifact: once(`
  if redis.call('HEXISTS', entry, 'consumed') == 1 then return 'already_consumed', false end
${SAVE}`),
  saveNewArtifact: once(`
  if redis.call('EXISTS', entry) == 1 then return 'already_exists', false end
${SAVE}`),
  consumeArtifact: once(`
  if redis.call('EXISTS', entry) == 0 then return 'not_found', false end
  if redis.call('HSETNX', entry, 'consumed', redis.call('TIME')[1]) == 0 then return 'already_consumed', false end
  return 'consumed', true
`),

  // The entry of a grant outlives every artifact of it: its absence means that the save was never finished.
  joinGrant: repeatable(`
  if redis.call('GET', entry) == 'revoked' then return 'revoked' end
  if redis.call('PTTL', entry) < tonumber(ARGV[2]) then redis.call('SET', entry, 'live', 'PX', ARGV[2]) end
  return 'live'
`),
  revokeGrant: repeatable(`
  local left = math.max(redis.call('PTTL', entry), tonumber(ARGV[2]))
  redis.call('SET', entry, 'revoked', 'PX', string.format('%.0f', left))
`),
} as const satisfies Readonly<Record<string, Script>>;

export type ScriptName = keyof typeof SCRIPTS;
