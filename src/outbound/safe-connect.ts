import type { LookupFunction } from 'node:net';
import { publicAddresses, type UrlRules } from './endpoint-url.js';

/** A name that leads, at this very moment, to an address that is not public. */
export const ADDRESS_REFUSED = 'ADDRESS_REFUSED';

/**
 * Resolves, checks, and hands out what was checked: nothing asks for the name a second time, so a name that changes
 * between check and connection gains nothing.
 */
export function safeLookup(rules: UrlRules): LookupFunction {
  return (hostname, options, callback) => {
    publicAddresses(hostname, rules).then(
      (addresses) => {
        const [first] = addresses ?? [];
        if (!addresses || !first) {
          callback(Object.assign(new Error('not a public address'), { code: ADDRESS_REFUSED }), '', 0);
        } else if (options.all) {
          callback(null, [...addresses]);
        } else {
          callback(null, first.address, first.family);
        }
      },
      (error: unknown) => callback(error instanceof Error ? error : new Error('not resolved'), '', 0),
    );
  };
}
