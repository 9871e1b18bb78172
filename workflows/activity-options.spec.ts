import { describe, expect, it } from '@jest/globals';
import { msToNumber } from '@temporalio/common/lib/time.js';
import { LEDGER_STEP, READING_STEP } from './activity-options.js';

/** The engine's own, at 80 % of which a task with a local step under way is kept alive. */
const WORKFLOW_TASK_TIMEOUT_MS = 10_000;

describe.each([
  ['a ledger step', LEDGER_STEP],
  ['a reading', READING_STEP],
])('%s', (_name, options) => {
  it('ends each try before its workflow task would have to be kept alive', () => {
    expect(msToNumber(options.startToCloseTimeout)).toBeLessThan(0.8 * WORKFLOW_TASK_TIMEOUT_MS);
  });

  it('waits for every next try by a timer', () => {
    expect(msToNumber(options.retry!.initialInterval)).toBeGreaterThan(
      msToNumber(options.localRetryThreshold),
    );
  });
});
