import { describe, expect, it } from '@jest/globals';
import { crowdOf } from './crowd.js';
import { Problem } from './problem.js';

describe('a crowd', () => {
  it('turns away whoever comes beside the last that it has room for, before anything is done', async () => {
    const enter = crowdOf(2);
    let leave = (): void => undefined;
    const stay = () => new Promise<void>((resolve) => (leave = resolve));
    let isDone = false;
    const first = enter(stay);
    const second = enter(() => Promise.resolve('done'));
    await expect(
      enter(async () => {
        isDone = true;
      }),
    ).rejects.toBeInstanceOf(Problem);
    expect([isDone, await second]).toEqual([false, 'done']);
    leave();
    await first;
  });

  it('has room again once somebody has left, whatever became of it', async () => {
    const enter = crowdOf(1);
    await expect(enter(() => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
    await expect(enter(() => Promise.resolve('next'))).resolves.toBe('next');
  });
});
