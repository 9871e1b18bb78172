import { lookup } from 'node:dns/promises';
import ipaddr from 'ipaddr.js';

export interface Address {
  readonly address: string;
  readonly family: 4 | 6;
}

/** All addresses of a name. @throws what the system says where there is none. */
export type Resolve = (hostname: string) => Promise<readonly Address[]>;

export const resolveBySystem: Resolve = async (hostname) => {
  const found = await lookup(hostname, { all: true });
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }));
};

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
