import { describe, expect, it } from '@jest/globals';
import { isOutage, pathOf } from './problem.filter.js';

const withCode = (code: string) => Object.assign(new Error('x'), { code });

describe('what counts as an outage of the database', () => {
  it.each(['ECONNREFUSED', 'ECONNRESET', '08006', '53300', '57014', '57P01', '57P03'])('%s does', (code) => {
    expect(isOutage(withCode(code))).toBe(true);
  });

  it.each(['23505', '42P01', '22021', 'ERR_INVALID_ARG_TYPE'])('%s is a bug of ours', (code) => {
    expect(isOutage(withCode(code))).toBe(false);
  });

  it('knows the words of the pool, which have no code', () => {
    expect(isOutage(new Error('timeout exceeded when trying to connect'))).toBe(true);
    expect(isOutage(new Error('Connection terminated unexpectedly'))).toBe(true);
    expect(isOutage(new TypeError('x is not a function'))).toBe(false);
    expect(isOutage(null)).toBe(false);
  });
});

describe('the instance of a problem', () => {
  it('is the path alone, for a query may hold a secret', () => {
    expect(pathOf('/v1/providers/efi/webhook?hmac=secret')).toBe('/v1/providers/efi/webhook');
  });
});
