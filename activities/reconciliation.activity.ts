import { findPayment } from '../src/ledger/payments.js';
import { referenceOf } from '../src/ledger/payment-row.js';
import { reconcilePayment as reconcileInLedger, type Reconciled } from '../src/ledger/reconcile.js';
import { completeReconciliation, noteProgress, storeReconciliation } from '../src/ledger/reconciliations.js';
import { paymentsToRead } from '../src/ledger/reconciliation-targets.js';
import { SERVICE_ACTOR } from '../src/ledger/refunds.js';
import { providerNamed, type ActivityDeps } from './deps.js';
import { notDecidedYet } from './failures.js';
import { readGuarded } from './guarded-calls.js';
import type {
  PaymentReconciliationStart,
  PaymentsReconciled,
  ReconciliationReadings,
  ReconciliationSteps,
} from './interface.js';

const PAGE_SIZE = 25;
/** So many readings at a provider at once: a nightly run must not use up what it allows us by day. */
const READS_AT_ONCE = 5;

export async function beginReconciliation(
  { db, providers, timings, nowMs }: ActivityDeps,
  { reconciliationId }: { reconciliationId: string },
): ReturnType<ReconciliationSteps['beginReconciliation']> {
  // An operator's run has its row already.
  await storeReconciliation(db, {
    id: reconciliationId,
    origin: 'schedule',
    requestedBy: SERVICE_ACTOR,
    requestId: null,
    nowMs: nowMs(),
  });
  const readable = [...providers].filter(([, { provider }]) => provider !== null);
  return { providers: readable.map(([name]) => name), quietMs: timings.providerQuietMs };
}

export function nextPayments(
  { db, nowMs }: ActivityDeps,
  page: Parameters<ReconciliationSteps['nextPayments']>[0],
): ReturnType<ReconciliationSteps['nextPayments']> {
  return paymentsToRead(db, { ...page, limit: PAGE_SIZE, nowMs: nowMs() });
}

export async function noteReconciled(
  { db, nowMs }: ActivityDeps,
  { reconciliationId: id, finished, ...progress }: Parameters<ReconciliationSteps['noteReconciled']>[0],
): Promise<void> {
  await noteProgress(db, id, progress);
  if (finished) await completeReconciliation(db, id, nowMs());
}

export async function reconcilePayments(
  deps: ActivityDeps,
  { paymentIds, reconciliationId }: Parameters<ReconciliationReadings['reconcilePayments']>[0],
): Promise<PaymentsReconciled> {
  const results: (Reconciled | null)[] = [];
  for (let at = 0; at < paymentIds.length; at += READS_AT_ONCE) {
    const some = paymentIds.slice(at, at + READS_AT_ONCE);
    results.push(...(await Promise.all(some.map((id) => readAndReconcile(deps, id, reconciliationId)))));
  }
  return summaryOf(results, deps.nowMs());
}

export async function reconcilePayment(
  deps: ActivityDeps,
  { paymentId }: PaymentReconciliationStart,
): Promise<PaymentsReconciled> {
  const reconciled = await readAndReconcile(deps, paymentId, null);
  if (!reconciled) throw notDecidedYet();
  return summaryOf([reconciled], deps.nowMs());
}

/** Null: it could not be read. */
async function readAndReconcile(
  deps: ActivityDeps,
  paymentId: string,
  reconciliationId: string | null,
): Promise<Reconciled | null> {
  const payment = await findPayment(deps.db, paymentId);
  if (!payment) throw new Error(`no payment ${paymentId}`);
  const { provider } = providerNamed(deps, payment.provider);
  if (!provider) return null;

  const readAtMs = deps.nowMs();
  const read = await readGuarded(deps, provider, referenceOf(payment));
  if (read.kind !== 'found') {
    if (read.kind !== 'unavailable') {
      deps.log.warn({ paymentId, provider: provider.name, read }, 'a reading at the provider is of no use');
    }
    return null;
  }
  const reconciled = await reconcileInLedger(deps.db, {
    paymentId,
    reading: { ...read.snapshot, readAtMs },
    onlyOneRefund: provider.capabilities.partials !== 'many',
    bounds: { providerTimeoutMs: deps.timings.providerTimeoutMs, quietMs: deps.timings.providerQuietMs },
    reconciliationId,
    nowMs: deps.nowMs(),
  });
  for (const found of reconciled.differences) {
    deps.log[found.kind === 'adopted' ? 'warn' : 'error'](
      { ...found, provider: provider.name },
      'ledger and provider differ',
    );
  }
  return reconciled;
}

function summaryOf(results: readonly (Reconciled | null)[], nowMs: number): PaymentsReconciled {
  const read = results.filter((result) => result !== null);
  const decidable = read.flatMap(({ readAgainAtMs }) => readAgainAtMs ?? []);
  return {
    read: read.length,
    unreadable: results.length - read.length,
    hintRefundIds: read.flatMap(({ hintRefundIds }) => hintRefundIds),
    retryRefundIds: read.flatMap(({ retryRefundIds }) => retryRefundIds),
    readAgainInMs: decidable.length === 0 ? null : Math.max(0, Math.max(...decidable) - nowMs),
  };
}
