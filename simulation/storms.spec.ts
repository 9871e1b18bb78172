import { describe, expect, it } from '@jest/globals';
import { playAll } from './batch.js';

describe('refunds in a hostile world', () => {
  it.each([1, 501])('keep every promise on 500 schedules from seed %i', (first) => {
    expect(playAll({ first, count: 500, step: 1 }).failure).toBeNull();
  });
});
