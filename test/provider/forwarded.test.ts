import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { clientAddress, trustedProxies } from '../../src/provider/forwarded.ts';

const isTrusted = trustedProxies(['10.0.0.0/8', '192.0.2.7', 'fd00::/8', '2001:db8::1']);

function from(peer: string, forwardedFor?: string): IncomingMessage {
  const headers = forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor };
  return { socket: { remoteAddress: peer }, headers } as unknown as IncomingMessage;
}
const client = (peer: string, forwardedFor?: string) => clientAddress(from(peer, forwardedFor), isTrusted);

describe('which peers are proxies', () => {
  it.each(['10.0.0.1', '10.255.255.255', '::ffff:10.1.2.3', '::ffff:0a01:0203', '192.0.2.7', 'fd12::1', '2001:db8::1'])(
    '%s is one',
    (address) => expect(isTrusted(address)).toBe(true),
  );
  it.each(['11.0.0.1', '192.0.2.8', '2001:db8::2', 'fe80::1', '::1', '::ffff:192.0.2.8', 'unknown', ''])(
    '%s is none',
    (address) => expect(isTrusted(address)).toBe(false),
  );
  it.each(['10.0.0.0/33', 'fd00::/129', '10.0.0.0/', '10.0.0.0/8/8', 'proxy.example', '10.0.0', '', '10.0.0.0/-1'])(
    '"%s" is refused with what to write',
    (entry) => expect(() => trustedProxies([entry])).toThrow(/write 10\.0\.0\.7, 10\.0\.0\.0\/8 or fd00::\/8/),
  );
});

describe('T60: the address of the client', () => {
  it('is that of the peer, whatever a peer that is no proxy says', () => {
    expect(client('203.0.113.5')).toBe('203.0.113.5');
    expect(client('203.0.113.5', '198.51.100.1')).toBe('203.0.113.5');
    expect(client('::ffff:203.0.113.5', '10.0.0.1')).toBe('203.0.113.5');
  });

  it('is the last one before our proxies; what the client wrote further left counts for nothing', () => {
    expect(client('10.0.0.1', '203.0.113.5')).toBe('203.0.113.5');
    expect(client('10.0.0.1', '198.51.100.1, 203.0.113.5')).toBe('203.0.113.5');
    expect(client('10.0.0.1', '10.9.9.9, 203.0.113.5, 10.0.0.2, 192.0.2.7')).toBe('203.0.113.5');
    expect(client('::ffff:10.0.0.1', '203.0.113.5')).toBe('203.0.113.5');
    expect(client('fd00::1', '2001:db8::99, fd00::2')).toBe('2001:db8::99');
  });

  it('is read with the port that some proxies write', () => {
    expect(client('10.0.0.1', '203.0.113.5:4711')).toBe('203.0.113.5');
    expect(client('10.0.0.1', '[2001:db8::5]:4711')).toBe('2001:db8::5');
    expect(client('10.0.0.1', '::ffff:203.0.113.5')).toBe('203.0.113.5');
  });

  it('is that of the proxy where it names none', () => {
    for (const said of ['', 'unknown', '203.0.113.5, unknown', '_hidden', '203.0.113.5, 999.1.1.1']) {
      expect(client('10.0.0.1', said)).toBe('10.0.0.1');
    }
    expect(client('10.0.0.1', '203.0.113.5, unknown, 10.0.0.2')).toBe('10.0.0.2');
  });
});
