import { describe, expect, it } from '@jest/globals';
import { playAll } from './batch.js';

describe('refunds in a hostile world', () => {
  it.each([1, 1_001])('keep every promise on 1,000 schedules from seed %i', (first) => {
    expect(playAll({ first, count: 1_000, step: 1 }).failure).toBeNull();
  });
});
