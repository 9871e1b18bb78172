import { invalidRequest, Problem } from './problem.js';

const BARE = /^[\x20-\x7e]{1,255}$/;
const QUOTED = /^"((?:[^"\\]|\\["\\])*)"$/;

/** As the document says it: what is read below. */
export const IDEMPOTENCY_KEY_FORM =
  '^(?:[!#-~](?:[ -~]{0,253}[!-~])?|"(?:[ !#-\\[\\]-~]|\\\\["\\\\]){1,255}")$';

/** The IETF draft's quoted form and the bare one are the same key. */
export function readIdempotencyKey(header: string | readonly string[] | undefined): string {
  const text = (Array.isArray(header) ? header.join(', ') : String(header ?? '')).trim();
  const key = text.startsWith('"') ? QUOTED.exec(text)?.[1]?.replace(/\\(["\\])/g, '$1') : text;
  if (key === '') {
    throw new Problem('idempotency_key_missing', 'Send an Idempotency-Key: a refund is asked for once.');
  }
  if (key === undefined || !BARE.test(key)) {
    throw invalidRequest(
      '/Idempotency-Key',
      'The Idempotency-Key must be 1 to 255 printable ASCII characters.',
    );
  }
  return key;
}
