import { describe, expect, it } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/common';
import { notDecidedYet, withFailures } from './failures.js';

const SECRET = 'Key (payer)=(Maria Silva, 123.456.789-09) already exists';

/** What crosses into history when an activity throws `error`, and what the log was given. */
async function crossing(error: unknown): Promise<{ failure: ApplicationFailure; logged: unknown[] }> {
  const logged: unknown[] = [];
  const failing = withFailures(
    'settle',
    () => Promise.reject(error as Error),
    (...entry) => logged.push(entry),
  );
  const failure: unknown = await failing({}).catch((thrown: unknown) => thrown);
  if (!(failure instanceof ApplicationFailure)) throw new Error('something else crossed');
  return { failure, logged };
}

function databaseError(code: string): Error {
  const parts = {
    code,
    detail: SECRET,
    hint: SECRET,
    where: SECRET,
    table: 'refunds',
    query: `insert ${SECRET}`,
  };
  return Object.assign(new Error(SECRET), parts);
}

describe('what an activity’s failure tells the engine', () => {
  it.each<[string, unknown, string]>([
    ['a violated constraint', databaseError('23505'), 'LedgerUnavailable'],
    ['a serialization failure', databaseError('40001'), 'LedgerUnavailable'],
    ['a refused connection', databaseError('ECONNREFUSED'), 'LedgerUnavailable'],
    [
      'a lost connection without a code',
      new Error('Connection terminated unexpectedly'),
      'LedgerUnavailable',
    ],
    [
      'a pool that gave up waiting',
      new Error('timeout exceeded when trying to connect'),
      'LedgerUnavailable',
    ],
    ['a bug', new TypeError(`${SECRET} is not iterable`), 'Unexpected'],
    ['a code that may hold data', databaseError(SECRET), 'Unexpected'],
    ['a code in lower case', databaseError('maria'), 'Unexpected'],
    ['a code that is no text', Object.assign(new Error(SECRET), { code: 7 }), 'Unexpected'],
    ['a thrown text', SECRET, 'Unexpected'],
    ['nothing at all', undefined, 'Unexpected'],
  ])('%s is tried again, and no word of it crosses', async (_case, error, type) => {
    const { failure, logged } = await crossing(error);
    expect(failure).toMatchObject({ type, nonRetryable: false });
    expect(failure.cause).toBeUndefined();
    expect(failure.details ?? []).toEqual([]);
    const crossed = [failure.message, failure.stack, JSON.stringify(failure)].join(' ');
    expect(crossed).not.toMatch(/Maria|123\.456|already exists|insert|iterable|terminated|exceeded/);
    expect(logged).toEqual([[error, 'settle']]);
  });

  it('names the code, so that an operator can tell one outage from another', async () => {
    expect((await crossing(databaseError('40001'))).failure.message).toContain('40001');
  });

  it('lets a failure that was meant pass as it is, and logs nothing', async () => {
    const meant = notDecidedYet();
    const { failure, logged } = await crossing(meant);
    expect(failure).toBe(meant);
    expect(failure).toMatchObject({ type: 'NotDecidedYet', nonRetryable: false });
    expect(logged).toEqual([]);
  });

  it('leaves a result alone', async () => {
    const doubled = withFailures(
      'double',
      (input: number) => Promise.resolve(2 * input),
      () => undefined,
    );
    await expect(doubled(21)).resolves.toBe(42);
  });
});
