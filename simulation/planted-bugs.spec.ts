import { describe, expect, it } from '@jest/globals';
import { plantedBugs, SAGA_BUGS } from './planted-bugs.js';
import { REAL_RULES } from './rules.js';
import { play } from './schedule.js';

const SCHEDULES = 10_000;
const REFUSED_SCHEDULES = 200;
/** What the ledger alone answers for, whatever the saga proposes. */
const PACE = /without a pause|reaches its end|comes to rest|in silence|open past its end/;

describe('a planted bug is found out', () => {
  it.each(plantedBugs())('$name', ({ rules, caughtBy, fromSeed }) => {
    const planted = { ...REAL_RULES, ...rules };
    let seed = fromSeed;
    while (seed < fromSeed + SCHEDULES && play(seed, planted).broken !== caughtBy) seed += 1;
    expect(seed).toBeLessThan(fromSeed + SCHEDULES);
    expect(play(seed).broken).toBeNull();
  });
});

describe('the ledger as the second line', () => {
  it.each(Object.entries(SAGA_BUGS))(
    'a saga that %s moves no money twice and gives none back',
    (_, decide) => {
      for (let seed = 1; seed <= REFUSED_SCHEDULES; seed += 1) {
        const { broken } = play(seed, { ...REAL_RULES, decide });
        if (broken !== null) expect(broken).toMatch(PACE);
      }
    },
  );
});
