import { lookup, Resolver } from 'node:dns/promises';
import ipaddr from 'ipaddr.js';

export interface Address {
  readonly address: string;
  readonly family: 4 | 6;
}

/** All addresses of a name. @throws what the system says where there is none. */
export type Resolve = (hostname: string) => Promise<readonly Address[]>;

/** With the names that a machine or a local network has for itself. Each takes one of this process's few threads. */
export const resolveBySystem: Resolve = async (hostname) => {
  const found = await lookup(hostname, { all: true });
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }));
};

const RESOLVED_WITHIN_MS = 5_000;

/**
 * By DNS alone, as names of the public internet are known there: one whose servers are silent takes no thread, of which
 * calls to providers need some too. `servers`: instead of the system's.
 */
export function resolveByDns(servers: readonly string[] | null = null): Resolve {
  return async (hostname) => {
    const resolver = new Resolver({ timeout: 2_000, tries: 2 });
    if (servers) resolver.setServers(servers);
    const timer = setTimeout(() => resolver.cancel(), RESOLVED_WITHIN_MS);
    try {
      const [v4, v6] = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
      const found = [...addressesOf(v4, 4), ...addressesOf(v6, 6)];
      if (found.length === 0 && v4.status === 'rejected') throw v4.reason;
      return found;
    } finally {
      clearTimeout(timer);
    }
  };
}

function addressesOf(answer: PromiseSettledResult<string[]>, family: 4 | 6): Address[] {
  return answer.status === 'fulfilled' ? answer.value.map((address) => ({ address, family })) : [];
}

/** Reachable from inside a cloud's machines alone, though they look like anybody's. */
const INSIDE_A_CLOUD = new Set(['168.63.129.16']);
/** All that was ever given out for global use; the rest maps, translates, tunnels to or stands for something else. */
const GLOBAL_V6 = ipaddr.IPv6.parseCIDR('2000::/3');

/** Whether it is an address of the public internet, as far as its number tells. */
export function isPublicAddress(text: string): boolean {
  if (!ipaddr.isValid(text)) return false;
  const address = ipaddr.parse(text);
  if (address.range() !== 'unicast') return false;
  return address instanceof ipaddr.IPv6 ? address.match(GLOBAL_V6) : !INSIDE_A_CLOUD.has(address.toString());
}
