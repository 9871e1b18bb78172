import { z } from 'zod';

/** An origin setting: https, or plain http on the loopback for doubles of a provider; scheme and host only. */
export function providerOrigin(defaultOrigin: string): z.ZodType<string> {
  return z
    .string()
    .default(defaultOrigin)
    .transform((text, context) => {
      const origin = originOf(text);
      if (origin !== null) return origin;
      context.addIssue('must be an https origin without a path; plain http is accepted for loopback alone');
      return z.NEVER;
    });
}

/** A key or id that goes into a header. */
export const credential = z.string().regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without blanks');

/** One secret or, while it is being changed, `new,old`: the newest first. */
export const rotatingSecret = credential
  .transform((text) => text.split(','))
  .refine((secrets) => secrets.every((secret) => secret !== ''), 'must be one secret or new,old');

function originOf(text: string): string | null {
  if (!URL.canParse(text)) return null;
  const url = new URL(text);
  const bare =
    url.pathname === '/' &&
    url.search === '' &&
    url.hash === '' &&
    url.username === '' &&
    url.password === '';
  if (!bare) return null;
  if (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))) return url.origin;
  return null;
}

function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' || hostname === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname)
  );
}
