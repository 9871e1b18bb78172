import { createHash, timingSafeEqual } from 'node:crypto';

/** Compares in constant time with each secret that is valid now; a missing value matches nothing. */
export function matchesSecret(given: string | undefined, secrets: readonly string[]): boolean {
  if (given === undefined) return false;
  const digest = sha256(given);
  // Every secret is compared, so that the time does not tell which one matched.
  return secrets.map((secret) => timingSafeEqual(digest, sha256(secret))).includes(true);
}

/** Digests of equal length: the comparison tells nothing of the secret's length either. */
function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
