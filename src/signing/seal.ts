import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** AES-256 keys by id: the first seals, every one of them opens. */
export interface SealingKeys {
  readonly keys: readonly { readonly id: string; readonly secret: Buffer }[];
}

const CIPHER = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** `<key id>.<base64url of iv, tag and ciphertext>`; the key id is authenticated with it. */
export function seal(text: string, keyRing: SealingKeys): string {
  const key = keyRing.keys[0];
  if (!key) throw new Error('no key to seal with');
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, key.secret, iv).setAAD(Buffer.from(key.id));
  const ciphertext = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return `${key.id}.${Buffer.concat([iv, cipher.getAuthTag(), ciphertext]).toString('base64url')}`;
}

/** @throws Error when the key is not in the ring or the text was changed; the message never holds any of it. */
export function unseal(sealed: string, keyRing: SealingKeys): string {
  const split = sealed.lastIndexOf('.');
  const keyId = sealed.slice(0, Math.max(split, 0));
  const key = keyRing.keys.find((candidate) => candidate.id === keyId);
  const bytes = Buffer.from(sealed.slice(split + 1), 'base64url');
  if (!key || bytes.length < IV_BYTES + TAG_BYTES) throw new Error('sealed with a key that is not set');
  const decipher = createDecipheriv(CIPHER, key.secret, bytes.subarray(0, IV_BYTES), {
    authTagLength: TAG_BYTES,
  })
    .setAAD(Buffer.from(keyId))
    .setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
  return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]).toString(
    'utf8',
  );
}
