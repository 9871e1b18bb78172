import { createHmac, timingSafeEqual } from 'node:crypto';
import canonicalize from 'canonicalize';

/** HMAC keys by id: the first proves, every one of them checks. */
export interface ProofKeys {
  readonly keys: readonly { readonly id: string; readonly secret: Buffer }[];
}

/** What the front door may ask of a refund. */
export type ProvenAction = 'start' | 'approve' | 'reject' | 'cancel' | 'extend' | 'resolve';

/**
 * The front door's word that it let this action through: `v1.<key id>.<base64url of the HMAC-SHA256>`, over RFC 8785
 * canonical JSON. What makes it good for one message only is in the body: refund id, actor, nonce.
 * @throws Error when there is no key, or the body is no JSON.
 */
export function prove(keyRing: ProofKeys, action: ProvenAction, body: object): string {
  const [key] = keyRing.keys;
  if (!key) throw new Error('no key to prove with');
  return proofBy(key, messageOf(action, body));
}

/** Whether one of these keys proved exactly this; false for whatever else somebody may have sent, never an error. */
export function isProven(
  keyRing: ProofKeys,
  action: ProvenAction,
  body: object,
  proof: string | undefined,
): boolean {
  // Whoever writes a message by hand is held to no type.
  if (typeof proof !== 'string') return false;
  let message: string;
  try {
    message = messageOf(action, body);
  } catch {
    // Nested so deep, say, that it can't be read.
    return false;
  }
  return keyRing.keys.some((key) => isSame(proofBy(key, message), proof));
}

/** As the body is after Temporal's JSON has carried it: without undefined members, dates as text. */
function messageOf(action: ProvenAction, body: object): string {
  const text = canonicalize(JSON.parse(JSON.stringify({ action, body })));
  if (text === undefined) throw new TypeError('only JSON can be proven');
  return text;
}

/** `v1.<key id>.<base64url of the HMAC-SHA256>` of the text. */
export function proofBy({ id, secret }: ProofKeys['keys'][number], message: string): string {
  return `v1.${id}.${createHmac('sha256', secret).update(message).digest('base64url')}`;
}

/** Compares texts, not what they decode to: base64url has several spellings of the same bytes. */
export function isSame(expected: string, given: string): boolean {
  const [one, other] = [Buffer.from(expected), Buffer.from(given)];
  return one.length === other.length && timingSafeEqual(one, other);
}
