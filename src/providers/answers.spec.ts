import { describe, expect, it } from '@jest/globals';
import { providerError, readRefusal, retryAfter } from './answers.js';
import { parseInstant, providerDate } from './instants.js';
import { canonicalId, canonicalUuid } from './payment-id.js';
import { credential, providerOrigin, rotatingSecret } from './settings.js';
import { matchesSecret } from './webhook-secret.js';

const NOW_MS = Date.parse('2026-03-01T12:00:00Z');

function answer(status: number, headers: Record<string, string> = {}) {
  return { status, headers, body: '' };
}

describe('provider errors', () => {
  it('cut the provider’s words to 200 characters', () => {
    expect(providerError('c'.repeat(31), 'a b '.repeat(100)).message).toHaveLength(200);
  });

  it.each([
    'Bearer abc.def',
    'token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln',
    'key sk_live_51O62xYzAbcDef123',
    `key ${'A1'.repeat(20)}`,
  ])('do not repeat what looks like a secret: %s', (message) => {
    const said = providerError('c', message).message;
    expect(said).toContain('[redacted]');
    expect(said).not.toMatch(/abc\.def|eyJ|51O62|A1A1/);
  });

  it('keep UUIDs, which name payments', () => {
    const id = '34fc280a-8b98-44c9-bc8f-5911bbeef952';
    expect(providerError('c', `payment ${id}`).message).toBe(`payment ${id}`);
  });
});

describe('Retry-After', () => {
  it.each([
    ['7', 7000],
    ['0', 0],
    ['Sun, 01 Mar 2026 12:00:30 GMT', 30_000],
    ['Sun, 01 Mar 2026 11:00:00 GMT', 0],
    ['soon', null],
    ['-5', null],
  ])('reads %s', (text, expected) => {
    expect(retryAfter(answer(429, { 'retry-after': text }), NOW_MS)).toBe(expected);
  });
});

describe('refusals of a read', () => {
  it.each([401, 403])('asks for authorization on %d', (status) => {
    expect(readRefusal(answer(status), NOW_MS)).toMatchObject({ reason: 'authorization_required' });
  });

  it.each([408, 429, 500, 502, 503, 504])('waits for the provider on %d', (status) => {
    expect(readRefusal(answer(status, { 'retry-after': '3' }), NOW_MS)).toMatchObject({
      reason: 'provider_unavailable',
      retryAfterMs: 3000,
    });
  });

  it.each([200, 302, 404, 422])('leaves %d to the provider’s own mapping', (status) => {
    expect(readRefusal(answer(status), NOW_MS)).toBeNull();
  });
});

describe('instants', () => {
  it('takes a time without a zone as America/Sao_Paulo', () => {
    expect(parseInstant('2022-10-28 10:02:25')).toBe(Date.parse('2022-10-28T13:02:25Z'));
    expect(parseInstant('2022-10-28T10:02:25Z')).toBe(Date.parse('2022-10-28T10:02:25Z'));
  });

  it.each(['', '28/10/2022', '2022-13-45 10:00:00', null, undefined])('does not guess at %s', (text) => {
    expect(parseInstant(text)).toBeNull();
  });

  it('names days in the providers’ zone', () => {
    expect(providerDate(Date.parse('2022-10-28T02:00:00Z'))).toBe('2022-10-27');
  });
});

describe('payment ids', () => {
  it.each(['', ' ', 'a b', 'a/b', 'a\nb', '..', 'a?b', 'á', 'x'.repeat(129)])('refuses %j', (id) => {
    expect(canonicalId(id)).toBeNull();
  });

  it('lowers UUIDs and nothing else', () => {
    expect(canonicalId('E646263B-2B4D-4B2C-93D8-2568FBFFB744')).toBe('e646263b-2b4d-4b2c-93d8-2568fbffb744');
    expect(canonicalId('1BSt6hCqnAMA')).toBe('1BSt6hCqnAMA');
    expect(canonicalUuid('1BSt6hCqnAMA')).toBeNull();
  });
});

describe('settings', () => {
  const origin = providerOrigin('https://api.example.com');

  it.each([
    [undefined, 'https://api.example.com'],
    ['https://sandbox.example.com/', 'https://sandbox.example.com'],
    ['http://127.0.0.1:4010', 'http://127.0.0.1:4010'],
    ['http://127.8.8.8', 'http://127.8.8.8'],
    ['http://localhost:1', 'http://localhost:1'],
    ['http://[::1]:1', 'http://[::1]:1'],
  ])('accepts the origin %s', (given, expected) => expect(origin.parse(given)).toBe(expected));

  it.each([
    'http://example.com',
    'http://127.0.0.1.example.com',
    'http://10.0.0.1',
    'https://example.com/v1',
    'https://user:pw@example.com',
    'https://example.com?x=1',
    'ftp://localhost',
    'example.com',
  ])('refuses the origin %s', (given) => expect(origin.safeParse(given).success).toBe(false));

  it('refuses a credential that could break a header', () => {
    expect(credential.safeParse('a\r\nb: c').success).toBe(false);
  });

  it('reads a secret that is being changed as new and old', () => {
    expect(rotatingSecret.parse('new,old')).toEqual(['new', 'old']);
    expect(rotatingSecret.safeParse('new,').success).toBe(false);
  });
});

describe('webhook secrets', () => {
  it('accept the new and the old one, and nothing where none is set', () => {
    expect(matchesSecret('new', ['new', 'old'])).toBe(true);
    expect(matchesSecret('old', ['new', 'old'])).toBe(true);
    expect(matchesSecret('new,old', ['new', 'old'])).toBe(false);
    expect(matchesSecret(undefined, ['new'])).toBe(false);
    expect(matchesSecret('', [])).toBe(false);
  });
});
