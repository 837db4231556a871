import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';

/** Whether a peer is one of the proxies of this installation. */
export type IsTrustedProxy = (address: string) => boolean;

/** Builds the check from addresses and ranges (`10.0.0.7`, `10.0.0.0/8`, `fd00::/8`). Throws on anything else. */
export function trustedProxies(entries: readonly string[]): IsTrustedProxy {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', bits, ...rest] = entry.split('/');
    const family = familyOf(address);
    const bitsMax = family === 'ipv4' ? 32 : 128;
    if (family === undefined || rest.length > 0 || (bits !== undefined && !isBits(bits, bitsMax))) {
      throw new TypeError(`"${entry}" is no address and no range: write 10.0.0.7, 10.0.0.0/8 or fd00::/8`);
    }
    list.addSubnet(address, bits === undefined ? bitsMax : Number(bits), family);
  }
  return (address) => {
    const family = familyOf(address);
    return family !== undefined && list.check(address, family);
  };
}

const addresses = new WeakMap<IncomingMessage, string>();

/**
 * The address of the client: of the peer, or if that is a proxy of ours, the last one in `X-Forwarded-For` that is not. What
 * stands further left was written by the client itself. Anybody else's header is ignored.
 */
export function clientAddress(request: IncomingMessage, isTrusted: IsTrustedProxy): string {
  let client = plainAddress(request.socket.remoteAddress ?? '');
  const forwarded = request.headers['x-forwarded-for'];
  const hops = (Array.isArray(forwarded) ? forwarded.join(',') : (forwarded ?? '')).split(',').reverse();
  for (const hop of hops) {
    if (!isTrusted(client)) break;
    const address = addressOfHop(hop.trim());
    // What names no address names nobody: the proxy that wrote it answers for it.
    if (address === undefined) break;
    client = address;
  }
  addresses.set(request, client);
  return client;
}

/** As `clientAddress` found it for this request. */
export function knownClientAddress(request: IncomingMessage): string {
  return addresses.get(request) ?? plainAddress(request.socket.remoteAddress ?? '');
}

/** An IPv4 peer of a dual-stack socket appears as ::ffff:192.0.2.1. */
export function plainAddress(address: string): string {
  const [withoutZone = ''] = address.split('%');
  return /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(withoutZone) ? withoutZone.slice('::ffff:'.length) : withoutZone;
}

/** Some proxies write the port too: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
function addressOfHop(hop: string): string | undefined {
  const [, bracketed] = /^\[([^\]]+)\](?::\d+)?$/.exec(hop) ?? [];
  const [, withPort] = /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(hop) ?? [];
  const address = plainAddress(bracketed ?? withPort ?? hop);
  return isIP(address) === 0 ? undefined : address;
}

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  const version = isIP(address);
  return version === 0 ? undefined : version === 4 ? 'ipv4' : 'ipv6';
}

function isBits(text: string, bitsMax: number): boolean {
  return /^\d{1,3}$/.test(text) && Number(text) <= bitsMax;
}
