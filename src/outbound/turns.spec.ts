import { describe, expect, it } from '@jest/globals';
import type { PostOutcome } from './post.js';
import { ATTEMPTS_AT_ONCE, inTurns } from './turns.js';

/** Posts that end when they are told to. */
function held() {
  const ends: ((outcome: PostOutcome) => void)[] = [];
  const post = inTurns(() => new Promise((resolve) => ends.push(resolve)));
  return {
    started: () => ends.length,
    to: (host: string, count: number) =>
      Array.from({ length: count }, (_, at) => post(`https://${host}/${at}`, {}, '{}')),
    endAll: (outcome: PostOutcome) => ends.splice(0).forEach((end) => end(outcome)),
  };
}

const kinds = async (posts: readonly Promise<{ kind: string }>[]) =>
  (await Promise.all(posts)).map(({ kind }) => kind);

describe('posts in turns', () => {
  it('leave places for others, whatever waits for one host', async () => {
    const { to, started, endAll } = held();
    const posts = to('slow.example', ATTEMPTS_AT_ONCE);
    expect(started()).toBeLessThanOrEqual(ATTEMPTS_AT_ONCE / 4);
    const sent = started();
    const others = to('quick.example', 1);
    expect(started()).toBe(sent + 1);
    endAll({ kind: 'answered', status: 500 });
    expect((await kinds(posts)).filter((kind) => kind === 'busy')).toHaveLength(ATTEMPTS_AT_ONCE - sent);
    expect(await kinds(others)).toEqual(['answered']);
  });

  it('are few to a host that does not answer, until it answers', async () => {
    const { to, started, endAll } = held();
    const first = to('dead.example', 1);
    endAll({ kind: 'failed', code: 'TIMEOUT' });
    await Promise.all(first);
    const next = to('dead.example', 50);
    const few = started();
    expect(few).toBeLessThan(10);
    endAll({ kind: 'answered', status: 503 });
    await Promise.all(next);
    void to('dead.example', 50);
    expect(started()).toBe(50);
  });

  it('give their place back when they throw', async () => {
    const post = inTurns(() => Promise.reject(new Error('no')));
    for (let count = 0; count < 60; count += 1) {
      await expect(post('https://shop.example/', {}, '{}')).rejects.toThrow('no');
    }
  });
});
