import {
  ActivityFailure,
  ApplicationFailure,
  condition,
  continueAsNew,
  executeChild,
  getExternalWorkflowHandle,
  log,
  proxyActivities,
  proxyLocalActivities,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import type {
  PaymentReconciliationStart,
  PaymentsReconciled,
  ReconciliationReadings,
  ReconciliationStart,
  ReconciliationSteps,
} from '../activities/interface.js';
import { LEDGER_STEP, paymentReading, pageReading } from './activity-options.js';
import {
  hintSignal,
  readAgainSignal,
  reconciliationWorkflowId,
  refundWorkflowId,
  retrySignal,
  type Envelope,
} from './messages.js';

const ledger = proxyLocalActivities<ReconciliationSteps>(LEDGER_STEP);
const readings = proxyActivities<ReconciliationReadings>({ startToCloseTimeout: '10m' });

/** Workers' clocks differ by less: the second reading must lie a whole quiet time after the first. */
const CLOCKS_DIFFER_MS = 1_000;
/** Webhooks come in bursts: what arrives within this time is answered by one reading. */
const BETWEEN_READINGS_MS = 2_000;

/** What one run hands to the next when its history grows long. */
export interface Reconciling {
  pass: 'all' | 'doubtful';
  /** The last payment read, a provider; null: the pass is through there. */
  readonly after: Record<string, string | null>;
  paymentsRead: number;
  paymentsUnreadable: number;
  /** Something was put in doubt: a second pass looks at it again. */
  doubtful: boolean;
}

/** The schedule's runs are told nothing. */
const SCHEDULED: Envelope<ReconciliationStart> = { body: { reconciliationId: null } };

type Run = ReconciliationStart & { readonly reconciliationId: string };

/** Compares all that may have changed with the providers, and once more, a quiet time later, what was put in doubt. */
export async function reconciliation(
  { body: start }: Envelope<ReconciliationStart> = SCHEDULED,
  carried?: Reconciling,
): Promise<void> {
  if (start.reconciliationId === null) return underOwnId();
  requireId(start.reconciliationId);
  const run = { reconciliationId: start.reconciliationId };
  const { providers, quietMs } = await ledger.beginReconciliation(run);
  const state = carried ?? {
    ...{ pass: 'all' as const, after: firstOf(providers) },
    ...{ paymentsRead: 0, paymentsUnreadable: 0, doubtful: false },
  };
  if (state.pass === 'all') {
    await readThrough(run, state);
    if (state.doubtful) {
      await sleep(quietMs + CLOCKS_DIFFER_MS, { summary: 'Before what was put in doubt is read again' });
      Object.assign(state, { pass: 'doubtful', after: firstOf(providers) });
    }
  }
  if (state.pass === 'doubtful') await readThrough(run, state);
  await note(run, state, true);
}

/** What is started by hand may be anything; it shall end at once, instead of being tried for ever. */
function requireId(id: unknown): void {
  if (typeof id === 'string') return;
  throw ApplicationFailure.nonRetryable('not a start that a reconciliation understands', 'MalformedStart');
}

/** A scheduled run gets the workflow id that any other has, so that whoever asks for it finds it. */
async function underOwnId(): Promise<void> {
  const reconciliationId = `rec_${workflowInfo().firstExecutionRunId.replaceAll('-', '')}`;
  await executeChild(reconciliation, {
    workflowId: reconciliationWorkflowId(reconciliationId),
    args: [{ body: { reconciliationId } }],
  });
}

function firstOf(providers: readonly string[]): Record<string, string | null> {
  return Object.fromEntries(providers.map((provider) => [provider, '']));
}

/** Each provider at its own pace. */
async function readThrough(run: Run, state: Reconciling): Promise<void> {
  await Promise.all(Object.keys(state.after).map((provider) => readProvider(provider, run, state)));
  if (Object.values(state.after).some((after) => after !== null)) {
    await continueAsNew<typeof reconciliation>({ body: run }, state);
  }
}

async function readProvider(provider: string, run: Run, state: Reconciling): Promise<void> {
  for (;;) {
    const after = state.after[provider] ?? null;
    if (after === null || workflowInfo().continueAsNewSuggested) return;
    const paymentIds = await ledger.nextPayments({ provider, pass: state.pass, after });
    state.after[provider] = paymentIds.at(-1) ?? null;
    if (paymentIds.length > 0) await readPage(provider, paymentIds, run, state);
  }
}

async function readPage(
  provider: string,
  paymentIds: readonly string[],
  run: Run,
  state: Reconciling,
): Promise<void> {
  try {
    const seen = await readings.reconcilePayments.executeWithOptions(
      { ...pageReading(provider), summary: `Read ${paymentIds.length} payments at ${provider}` },
      [{ ...run, provider, paymentIds }],
    );
    if (state.pass === 'all') state.paymentsRead += seen.read;
    if (state.pass === 'all') state.paymentsUnreadable += seen.unreadable;
    state.doubtful ||= seen.readAgainInMs !== null;
    await tell(seen);
  } catch (error) {
    if (!(error instanceof ActivityFailure)) throw error;
    // One page must not keep a whole night from its end.
    log.error('a page could not be reconciled', { provider, after: paymentIds[0] });
    state.paymentsUnreadable += paymentIds.length;
  }
  await note(run, state, false);
}

async function note(run: Run, state: Reconciling, finished: boolean): Promise<void> {
  const { paymentsRead, paymentsUnreadable } = state;
  await ledger.noteReconciled({ ...run, paymentsRead, paymentsUnreadable, finished });
}

/**
 * Compares one payment with its provider: at once, after every call for another reading, and once more where something
 * was put in doubt. Calls that come close together are answered by one reading. Whoever starts it calls as well.
 */
export async function paymentReconciliation(
  { body: payment }: Envelope<PaymentReconciliationStart>,
  carriedOn = false,
): Promise<void> {
  requireId(payment.paymentId);
  const calls = { made: carriedOn ? 1 : 0 };
  setHandler(readAgainSignal, () => {
    calls.made += 1;
  });
  await condition(() => calls.made > 0);
  for (;;) {
    // Before the reading: what is told from now on may be too late for it.
    const answered = calls.made;
    const isCalled = (): boolean => calls.made > answered;
    const readAgainInMs = await readOnce(payment);
    if (!isCalled() && readAgainInMs === null) return;
    if (readAgainInMs !== null) {
      await condition(isCalled, readAgainInMs + CLOCKS_DIFFER_MS, {
        summary: 'Before what was put in doubt is read again',
      });
    }
    if (isCalled()) await sleep(BETWEEN_READINGS_MS, { summary: 'More calls may come' });
    if (workflowInfo().continueAsNewSuggested) {
      await continueAsNew<typeof paymentReconciliation>({ body: payment }, true);
    }
  }
}

async function readOnce(payment: PaymentReconciliationStart): Promise<number | null> {
  try {
    const seen = await readings.reconcilePayment.executeWithOptions(
      { ...paymentReading(payment.provider), summary: `Read the payment at ${payment.provider}` },
      [payment],
    );
    await tell(seen);
    return seen.readAgainInMs;
  } catch (error) {
    if (!(error instanceof ActivityFailure)) throw error;
    log.warn('a payment could not be read; the nightly run reads it again', { ...payment });
    return null;
  }
}

/** The refunds' own workflows act on what was found. */
async function tell({ hintRefundIds, retryRefundIds }: PaymentsReconciled): Promise<void> {
  await Promise.all([
    ...hintRefundIds.map((id) => signal(id, 'hint')),
    ...retryRefundIds.map((id) => signal(id, 'retry')),
  ]);
}

async function signal(refundId: string, what: 'hint' | 'retry'): Promise<void> {
  const refund = getExternalWorkflowHandle(refundWorkflowId(refundId));
  try {
    if (what === 'hint') await refund.signal(hintSignal, { body: { source: 'refresh' } });
    else await refund.signal(retrySignal, { body: {} });
  } catch {
    // It has ended or is lost; it asks by itself, or is taken up again.
  }
}
