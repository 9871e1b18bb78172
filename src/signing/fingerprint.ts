import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';

/** sha-256 over RFC 8785 canonical JSON: the same value in another order of members is the same fingerprint. */
export function fingerprintOf(value: unknown): string {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError('only JSON values have a fingerprint');
  return createHash('sha256').update(text).digest('hex');
}
