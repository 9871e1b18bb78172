import { describe, expect, it } from '@jest/globals';
import { playAll } from './batch.js';

describe('refunds in a hostile world', () => {
  it.each([1, 2_501, 5_001, 7_501])('keep every promise on 2,500 schedules from seed %i', (first) => {
    expect(playAll({ first, count: 2_500, step: 1 }).failure).toBeNull();
  });
});
