import { createHmac } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isProven, prove } from './proof.js';

const old = { id: 'old', secret: Buffer.alloc(32, 1) };
const next = { id: 'k.2', secret: Buffer.alloc(32, 2) };
const ring = { keys: [next, old] };

const body = { refundId: 'rfd_1', actor: 'ana', nonce: 'n1', contentHash: 'c1', amountMinor: 1050 };
const proof = prove(ring, 'approve', body);

const bodies = fc.dictionary(fc.string(), fc.jsonValue());

describe('a proof of the front door', () => {
  it('is the HMAC-SHA256 of the canonical action and body by the first key, which it names', () => {
    const message =
      '{"action":"approve","body":{"actor":"ana","amountMinor":1050,"contentHash":"c1","nonce":"n1","refundId":"rfd_1"}}';
    const mac = createHmac('sha256', next.secret).update(message).digest('base64url');
    expect(proof).toBe(`v1.k.2.${mac}`);
  });

  it('holds for its own action and body, wherever its key stands in the ring', () => {
    fc.assert(
      fc.property(bodies, (any) => {
        const made = prove({ keys: [old] }, 'start', any);
        expect(isProven({ keys: [old] }, 'start', any, made)).toBe(true);
        expect(isProven(ring, 'start', any, made)).toBe(true);
      }),
    );
  });

  it('holds after JSON has carried the body, in whatever order its members arrive', () => {
    fc.assert(
      fc.property(bodies, (any) => {
        const sent = { ...any, gone: undefined, at: new Date(0), list: [undefined, -0, NaN] };
        const reordered = Object.fromEntries(Object.entries(arrived(sent)).reverse());
        expect(isProven(ring, 'start', reordered, prove(ring, 'start', sent))).toBe(true);
      }),
    );
  });

  it('holds for no other body', () => {
    fc.assert(
      fc.property(bodies, bodies, (one, other) => {
        fc.pre(!isDeepStrictEqual(arrived(one), arrived(other)));
        expect(isProven(ring, 'start', other, prove(ring, 'start', one))).toBe(false);
      }),
    );
    for (const [name, value] of Object.entries(body)) {
      expect(isProven(ring, 'approve', { ...body, [name]: `${value} ` }, proof)).toBe(false);
    }
    expect(isProven(ring, 'approve', { ...body, more: 1 }, proof)).toBe(false);
  });

  it('holds for no other action', () => {
    for (const action of ['start', 'reject', 'cancel', 'extend', 'resolve'] as const) {
      expect(isProven(ring, action, body, proof)).toBe(false);
    }
  });

  it('holds under no key that is not in the ring, whatever id that key goes by', () => {
    expect(isProven({ keys: [old] }, 'approve', body, proof)).toBe(false);
    expect(isProven({ keys: [{ ...old, id: next.id }] }, 'approve', body, proof)).toBe(false);
    expect(isProven({ keys: [] }, 'approve', body, proof)).toBe(false);
  });

  it('holds with no byte of it altered, left out or added', () => {
    for (let at = 0; at <= proof.length; at += 1) {
      const [before, after] = [proof.slice(0, at), proof.slice(at)];
      for (const added of ['A', '.', '=', ' ', '\u0000', '\ud800']) {
        expect(isProven(ring, 'approve', body, before + added + after)).toBe(false);
        if (after !== '' && !after.startsWith(added)) {
          expect(isProven(ring, 'approve', body, before + added + after.slice(1))).toBe(false);
        }
      }
      if (after !== '') expect(isProven(ring, 'approve', body, before + after.slice(1))).toBe(false);
    }
  });

  it('holds in one spelling alone: the two bits that the last character has over are no play', () => {
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const spellings = Array.from(letters, (last) => proof.slice(0, -1) + last);
    expect(spellings.filter((spelling) => isProven(ring, 'approve', body, spelling))).toEqual([proof]);
  });

  it('is missed without an error, whatever was sent in its place', () => {
    fc.assert(
      fc.property(fc.anything(), (any) => {
        expect(isProven(ring, 'approve', body, any as string)).toBe(false);
      }),
    );
    for (const text of ['', 'v1', 'v1.', 'v1..', 'v1.old.', 'v2.old.AAAA', proof.repeat(10_000)]) {
      expect(isProven(ring, 'approve', body, text)).toBe(false);
    }
    expect(isProven(ring, 'approve', body, undefined)).toBe(false);
  });

  it('is missed without an error, whatever was sent as the body', () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true, withDate: true, withMap: true }), (any) => {
        expect(isProven(ring, 'approve', any as object, proof)).toBe(false);
      }),
    );
    const bottomless = JSON.parse('['.repeat(500_000) + ']'.repeat(500_000)) as object;
    expect(isProven(ring, 'approve', bottomless, proof)).toBe(false);
  });

  it('is not made without a key, nor over what is no JSON', () => {
    expect(() => prove({ keys: [] }, 'start', body)).toThrow('no key to prove with');
    expect(() => prove(ring, 'start', { amount: 1n })).toThrow(TypeError);
  });
});

function arrived(sent: object): Record<string, unknown> {
  return JSON.parse(JSON.stringify(sent)) as Record<string, unknown>;
}
