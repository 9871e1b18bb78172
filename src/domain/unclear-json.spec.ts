import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { findUnclearJson } from './unclear-json.js';

const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 6 },
    fc.string({ unit: 'binary' }),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(
      fc.string().filter((name) => name !== '__proto__'),
      tie('value'),
      { maxKeys: 4 },
    ),
  ),
}));

/** Every character as an escape: another text for the same name. */
function escaped(name: string): string {
  const units = Array.from({ length: name.length }, (_, index) => name.charCodeAt(index));
  return `"${units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')}"`;
}

describe('findUnclearJson', () => {
  it('lets through whatever has one reading, however it is laid out', () => {
    fc.assert(
      fc.property(value, fc.constantFrom(0, 2), (any, indent) => {
        expect(findUnclearJson(JSON.stringify(any, null, indent))).toBeNull();
      }),
    );
  });

  it('finds a member that is there twice, written plainly or in escapes, wherever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), value, value, fc.boolean(), (name, first, second, plain) => {
        const written = plain ? JSON.stringify(name) : escaped(name);
        const members = [
          `${JSON.stringify(name)}:${JSON.stringify(first)}`,
          `${written}:${JSON.stringify(second)}`,
        ];
        const twice = `[{"outer":{${members.join(',"between of both":[],')}}}]`;
        fc.pre(name !== 'between of both' && name !== '__proto__');
        expect(() => JSON.parse(twice) as unknown).not.toThrow();
        expect(findUnclearJson(twice)).toEqual({ path: [0, 'outer', name], detail: 'is there twice' });
      }),
    );
  });

  it.each(['0', '0.0', '-1', '1050', '1050.00', '1e3', '999999999999', '0e9', '100000000000000000000'])(
    'keeps %s',
    (number) => expect(findUnclearJson(`[${number}]`)).toBeNull(),
  );

  it.each(['-0', '-0.0', '1e400', '-1e400', '1e-400', '9007199254740993', '1.0000000000000000001'])(
    'refuses %s, which would be read as another number',
    (number) => {
      expect(findUnclearJson(`{"amount":${number}}`)).toMatchObject({ path: ['amount'] });
    },
  );

  it('allows 32 levels and no more', () => {
    expect(findUnclearJson('['.repeat(32) + ']'.repeat(32))).toBeNull();
    expect(findUnclearJson('['.repeat(33) + ']'.repeat(33))?.detail).toMatch('32 levels');
  });

  it('refuses a name that would reach a prototype', () => {
    expect(findUnclearJson('{"a":{"\\u005f_proto__":1}}')?.path).toEqual(['a', '__proto__']);
  });

  it('takes as long as the text is, whatever is in it', () => {
    const length = 200_000;
    const texts = [
      `1${'0'.repeat(length)}1`,
      `0.${'0'.repeat(length)}1`,
      `"${'\\\\'.repeat(length / 2)}"`,
      `[${'[],'.repeat(length / 3)}0]`,
      `{${Array.from({ length: length / 10 }, (_, index) => `"${index}":0`).join(',')}}`,
    ];
    const beforeMs = performance.now();
    for (const text of texts) findUnclearJson(text);
    // With the square of it, the first text alone takes half a minute.
    expect(performance.now() - beforeMs).toBeLessThan(2_000);
  });
});
