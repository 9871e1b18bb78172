import type { ActivityOptions, LocalActivityOptions } from '@temporalio/workflow';
import type { SagaTerms } from '../src/domain/saga-state.js';
import { providerTaskQueue } from './messages.js';

/** Every timeout and retry of the refund workflow, by name. */

/** However long PostgreSQL was away, so soon after its return every step is tried again. */
const RECOVERED_WITHIN = '10s';

/**
 * Ledger steps are short and safe to repeat; they are tried until PostgreSQL answers. Each try ends, and each pause is a
 * timer, before the workflow task would have to be kept alive: what comes in meanwhile is heard in another order when such
 * a task is replayed (docs/decisions/0019).
 */
export const LEDGER_STEP: LocalActivityOptions = {
  startToCloseTimeout: '3s',
  retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: RECOVERED_WITHIN },
  localRetryThreshold: '100ms',
};

/** With one reading at the provider, which has 3 s of its own. */
export const READING_STEP: LocalActivityOptions = { ...LEDGER_STEP, startToCloseTimeout: '6s' };

/** Tried once: what fails here the provider's own queue tries again, at no cost of history or of workflow tasks. */
export const QUICK_STEP: LocalActivityOptions = { ...READING_STEP, retry: { maximumAttempts: 1 } };

/** What a person asked is judged in the ledger, again and again until PostgreSQL answers; a repeat changes nothing. */
export const MESSAGE_STEP: ActivityOptions = {
  startToCloseTimeout: '15s',
  retry: { initialInterval: '200ms', backoffCoefficient: 2, maximumInterval: RECOVERED_WITHIN },
};

/**
 * One call at a provider, its reading before and the storing of its answer after. A repeat by the engine finds the
 * claim and sends nothing, so retries are safe; heartbeats only begin after some seconds and make a dead worker known.
 */
export function providerCall(terms: SagaTerms): ActivityOptions {
  return {
    taskQueue: providerTaskQueue(terms.provider),
    startToCloseTimeout: '5m',
    heartbeatTimeout: '10s',
    retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: RECOVERED_WITHIN },
  };
}

/** The long silence: each retry is one look and costs no history event. */
export function providerWatch(terms: SagaTerms): ActivityOptions {
  return {
    taskQueue: providerTaskQueue(terms.provider),
    startToCloseTimeout: '2m',
    heartbeatTimeout: '10s',
    retry: {
      initialInterval: Math.min(terms.pollMs * 32, terms.pollMaxMs),
      backoffCoefficient: 1.5,
      maximumInterval: terms.pollMaxMs,
    },
  };
}

/** Some payments, a few at a time. A repeat reads them again, which changes nothing. */
export function pageReading(provider: string): ActivityOptions {
  return {
    taskQueue: providerTaskQueue(provider),
    startToCloseTimeout: '10m',
    heartbeatTimeout: '10s',
    retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '1m', maximumAttempts: 10 },
  };
}

/** One payment, until it can be read: for about half an hour, then the nightly run must do. */
export function paymentReading(provider: string): ActivityOptions {
  return {
    taskQueue: providerTaskQueue(provider),
    startToCloseTimeout: '5m',
    heartbeatTimeout: '10s',
    retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '5m', maximumAttempts: 14 },
  };
}
