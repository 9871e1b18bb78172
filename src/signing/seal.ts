import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** AES-256 keys by id: the first seals, every one of them opens. */
export interface SealingKeys {
  readonly keys: readonly { readonly id: string; readonly secret: Buffer }[];
}

export interface Sealed {
  readonly keyId: string;
  /** Nonce, tag and ciphertext. */
  readonly bytes: Buffer;
}

const CIPHER = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** `<key id>.<base64url of nonce, tag and ciphertext>`; the key id is authenticated with it. */
export function seal(text: string, keyRing: SealingKeys): string {
  const { keyId, bytes } = sealBytes(Buffer.from(text), keyRing, (id) => id);
  return `${keyId}.${bytes.toString('base64url')}`;
}

/** @throws Error when the key is not in the ring or the text was changed; the message never holds any of it. */
export function unseal(sealed: string, keyRing: SealingKeys): string {
  const split = sealed.lastIndexOf('.');
  const keyId = sealed.slice(0, Math.max(split, 0));
  const bytes = Buffer.from(sealed.slice(split + 1), 'base64url');
  return unsealBytes({ keyId, bytes }, keyRing, (id) => id).toString('utf8');
}

/** @param about of the key's id: what is authenticated with the bytes, so that they open for the same purpose alone. */
export function sealBytes(plain: Uint8Array, keyRing: SealingKeys, about: (keyId: string) => string): Sealed {
  const key = keyRing.keys[0];
  if (!key) throw new Error('no key to seal with');
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, key.secret, iv).setAAD(Buffer.from(about(key.id)));
  const ciphertext = Buffer.concat([cipher.update(plain), cipher.final()]);
  return { keyId: key.id, bytes: Buffer.concat([iv, cipher.getAuthTag(), ciphertext]) };
}

/** @throws Error as `unseal` does. */
export function unsealBytes(
  { keyId, bytes }: Sealed,
  keyRing: SealingKeys,
  about: (keyId: string) => string,
): Buffer {
  const key = keyRing.keys.find((candidate) => candidate.id === keyId);
  if (!key || bytes.length < IV_BYTES + TAG_BYTES) throw new Error('sealed with a key that is not set');
  const decipher = createDecipheriv(CIPHER, key.secret, bytes.subarray(0, IV_BYTES), {
    authTagLength: TAG_BYTES,
  })
    .setAAD(Buffer.from(about(keyId)))
    .setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
  return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]);
}
