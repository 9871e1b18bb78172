import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { refuseUnclearJson } from './strict-json.js';

const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 6 },
    fc.string({ unit: 'binary' }),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie('value'), { maxKeys: 4 }),
  ),
}));

/** Every character as an escape: another text for the same name. */
function escaped(name: string): string {
  const units = Array.from({ length: name.length }, (_, index) => name.charCodeAt(index));
  return `"${units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')}"`;
}

describe('refuseUnclearJson', () => {
  it('lets through whatever has one reading, however it is laid out', () => {
    fc.assert(
      fc.property(value, fc.constantFrom(0, 2), (any, indent) => {
        refuseUnclearJson(JSON.stringify(any, null, indent));
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
        fc.pre(name !== 'between of both');
        expect(() => JSON.parse(twice) as unknown).not.toThrow();
        expect(() => refuseUnclearJson(twice)).toThrow('is there twice');
      }),
    );
  });

  it.each(['0', '0.0', '-1', '1050', '1050.00', '1e3', '999999999999', '0e9', '100000000000000000000'])(
    'keeps %s',
    (number) => refuseUnclearJson(`[${number}]`),
  );

  it.each(['-0', '-0.0', '1e400', '-1e400', '1e-400', '9007199254740993', '1.0000000000000000001'])(
    'refuses %s, which would be read as another number',
    (number) => {
      expect(() => refuseUnclearJson(`{"amount":${number}}`)).toThrow('can not be kept');
    },
  );

  it('allows 32 levels and no more', () => {
    refuseUnclearJson('['.repeat(32) + ']'.repeat(32));
    expect(() => refuseUnclearJson('['.repeat(33) + ']'.repeat(33))).toThrow('32 levels');
  });
});
