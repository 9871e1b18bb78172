import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { watchForSilence } from './silence.js';

const SILENT_AFTER_MS = 2_000;
const REFUSED = /silent: nothing was done/;

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

function world() {
  const askInTurn = watchForSilence({
    silentAfterMs: SILENT_AFTER_MS,
    isAnswer: (error) => (error as Error).message === 'an answer',
  });
  const asked: { answer: (text: string) => void; fail: (message: string) => void }[] = [];
  const ask = () => {
    const outcome = askInTurn(
      () =>
        new Promise<string>((resolve, reject) => {
          asked.push({ answer: resolve, fail: (message) => reject(new Error(message)) });
        }),
    );
    return outcome.catch((error: unknown) => `failed: ${(error as Error).message}`);
  };
  return { ask, asked, pass: (ms: number) => jest.advanceTimersByTimeAsync(ms) };
}

describe('watchForSilence', () => {
  it('lets everybody wait as long as somebody is answered', async () => {
    const { ask, asked, pass } = world();
    const slow = ask();
    for (let round = 1; round <= 5; round += 1) {
      await pass(SILENT_AFTER_MS - 1);
      const quick = ask();
      asked[round]?.answer('quick');
      expect(await quick).toBe('quick');
    }
    asked[0]?.answer('slow');
    expect(await slow).toBe('slow');
  });

  it('refuses at once where nobody was answered for a while, but for one a second', async () => {
    const { ask, asked, pass } = world();
    void ask();
    await pass(SILENT_AFTER_MS - 500);
    void ask();
    await pass(501);
    expect(await ask()).toMatch(REFUSED);
    expect(asked).toHaveLength(2);
    await pass(499);
    void ask();
    expect(await ask()).toMatch(REFUSED);
    expect(asked).toHaveLength(3);
  });

  it('stays so while those who waited give up, and opens for all with the first answer, a refusal too', async () => {
    for (const end of ['answer', 'fail'] as const) {
      const { ask, asked, pass } = world();
      const first = ask();
      await pass(SILENT_AFTER_MS + 1);
      const tried = ask();
      asked[0]?.fail('timeout');
      expect(await first).toBe('failed: timeout');
      expect(await ask()).toMatch(REFUSED);
      asked[1]?.[end]('an answer');
      await tried;
      void ask();
      void ask();
      expect(asked).toHaveLength(4);
    }
  });

  it('is found again after an answer', async () => {
    const { ask, asked, pass } = world();
    for (const round of [0, 2]) {
      const first = ask();
      await pass(SILENT_AFTER_MS + 1);
      const tried = ask();
      expect(await ask()).toMatch(REFUSED);
      asked[round]?.answer('late');
      asked[round + 1]?.answer('late');
      expect([await first, await tried]).toEqual(['late', 'late']);
      await pass(SILENT_AFTER_MS * 3);
    }
  });

  it('is no silence where nobody asks, or where failures come at once', async () => {
    const { ask, asked, pass } = world();
    for (let round = 0; round < 3; round += 1) {
      await pass(SILENT_AFTER_MS * 10);
      const refused = ask();
      asked[round]?.fail('connection refused');
      expect(await refused).toBe('failed: connection refused');
    }
  });

  it('is no silence of others where this process stood still itself', async () => {
    jest.useRealTimers();
    const askInTurn = watchForSilence({ silentAfterMs: 50, isAnswer: () => false });
    const answered = askInTurn(() => new Promise((resolve) => void setTimeout(resolve, 20)));
    await new Promise((resolve) => void setImmediate(resolve));
    for (const untilMs = performance.now() + 150; performance.now() < untilMs;);
    const crowd = [1, 2, 3].map((each) => askInTurn(() => Promise.resolve(each)));
    expect(await Promise.all([answered, ...crowd])).toEqual([undefined, 1, 2, 3]);
  });
});
