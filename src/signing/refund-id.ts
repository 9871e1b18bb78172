import { createHash } from 'node:crypto';

const CROCKFORD_BASE32 = '0123456789abcdefghjkmnpqrstvwxyz';
const BITS_PER_CHARACTER = 5n;
const ID_CHARACTERS = 26;

/** The same key of the same actor is the same refund, for good. */
export function refundIdOfKey(actor: string, idempotencyKey: string): string {
  return `rfd_${shortHash(`${actor}\n${idempotencyKey}`)}`;
}

/** One payment at a provider has one id here, however many register it at once. */
export function paymentIdOf(provider: string, canonicalPaymentId: string): string {
  return `pay_${shortHash(`${provider}\n${canonicalPaymentId}`)}`;
}

/** 130 bits of sha-256, in letters that survive being read aloud. */
function shortHash(text: string): string {
  let bits = BigInt(`0x${createHash('sha256').update(text).digest('hex')}`) >> 126n;
  let encoded = '';
  for (let index = 0; index < ID_CHARACTERS; index += 1) {
    encoded = CROCKFORD_BASE32.charAt(Number(bits & 31n)) + encoded;
    bits >>= BITS_PER_CHARACTER;
  }
  return encoded;
}
