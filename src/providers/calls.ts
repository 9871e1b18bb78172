/** The frame around every call to a provider: no failure of its network leaves as an exception. */
import type { PaymentRead, SubmitOutcome } from '../domain/provider.js';
import { notNow, providerError, unknown } from './answers.js';
import type { ProviderLog } from './definition.js';
import { HttpFailure, SEND_REFUSED } from './http.js';

export interface CallContext {
  readonly provider: string;
  readonly log: ProviderLog;
}

/** Runs one submit to its outcome; what no document explains is logged, because a person may have to look. */
export async function concludeSubmit(
  { provider, log }: CallContext,
  submit: () => Promise<SubmitOutcome>,
): Promise<SubmitOutcome> {
  const outcome = await submit().catch(submitFailure);
  if (outcome.kind === 'unknown') {
    log.warn({ provider, code: outcome.error.code }, 'the outcome of a submit is unknown');
  }
  return outcome;
}

/** Runs one read to its result. */
export async function concludeRead(
  { provider, log }: CallContext,
  read: () => Promise<PaymentRead>,
): Promise<PaymentRead> {
  const result = await read().catch(readFailure);
  if (result.kind === 'unreadable') {
    log.warn({ provider, detail: result.detail }, 'a payment could not be read');
  }
  if (result.kind === 'found') {
    const { status, providerStatus, refunds } = result.snapshot;
    if (status === 'unknown') {
      log.warn({ provider, providerStatus }, 'a payment has a status that no document lists');
    }
    for (const refund of refunds.filter((entry) => entry.status === 'unknown')) {
      log.warn(
        { provider, providerStatus: refund.providerStatus },
        'a refund has a status that no document lists',
      );
    }
  }
  return result;
}

function submitFailure(failure: unknown): SubmitOutcome {
  if (!(failure instanceof HttpFailure)) throw failure;
  const error = providerError(failure.code, failure.message);
  if (failure.sent === 'maybe') return unknown(error);
  return notNow(failure.code === SEND_REFUSED ? 'send_by_passed' : 'provider_unavailable', error);
}

function readFailure(failure: unknown): PaymentRead {
  if (!(failure instanceof HttpFailure)) throw failure;
  return { kind: 'unavailable', reason: 'provider_unavailable', retryAfterMs: null, detail: failure.message };
}
