import { sql } from 'kysely';
import { approvalEndMs } from '../domain/approval.js';
import type { BrokenRule, DailyLimits, EligibilityDecision } from '../domain/eligibility.js';
import { newsOf } from '../domain/news.js';
import type { Payment, PaymentMethod } from '../domain/payment.js';
import type { PaymentSnapshot } from '../domain/provider.js';
import type { Policy } from '../domain/policy.js';
import type { RefundReason } from '../domain/refund.js';
import type { RefundWindow } from '../domain/window.js';
import { usedToday } from './daily-limits.js';
import type { Database, LedgerTransaction } from './database.js';
import {
  appendPaymentEvent,
  EMPTY_TRAIL,
  isHeard,
  linkRefundEvent,
  requestHash,
  withBeside,
  type WriteBeside,
} from './event-chain.js';
import { matchDeliveries } from './inbox.js';
import { fixedQuery } from './fixed-query.js';
import { isFree, takeIfFree } from './lanes.js';
import { noteNews } from './outbox.js';
import { paymentFromRow } from './payment-row.js';
import type { PaymentRow, RefundRow } from './refunds.js';
import { bookExternal, standingOf, type Standing } from './standing.js';
import { storable } from './storable-text.js';

/** The key that is being decided, and by which run of the workflow. */
export interface AskedKey {
  readonly refundId: string;
  readonly actor: string;
  readonly idempotencyKey: string;
  readonly fingerprint: string;
  readonly requestId: string;
  readonly askId: string;
  readonly runId: string;
}

export interface Admission extends AskedKey {
  readonly reason: RefundReason;
  readonly description: string | null;
  readonly reference: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly payment: { readonly id: string } | { readonly register: NewPayment };
  readonly reading: { readonly snapshot: PaymentSnapshot; readonly readAtMs: number } | null;
  readonly policy: Pick<Policy, 'version' | 'approval' | 'limits'>;
  /** 00:00 of today in the policy's zone. */
  readonly dayStartMs: number;
  /** The front door's, over the request. */
  readonly proof: string;
  readonly nowMs: number;
}

export interface NewPayment {
  readonly id: string;
  readonly provider: string;
  readonly providerPaymentId: string;
  readonly providerPaymentReference: string | null;
  readonly amountMinor: number;
  readonly currency: string;
  readonly method: PaymentMethod;
  readonly paidAtMs: number;
}

/** The parts of the decision that need rules, policy or hashing: given by the activity, run under the lock. */
export interface AdmissionRules {
  /** The time for admission is over: asked again under the lock, which may have been waited for. */
  isLate(): boolean;
  decide(payment: Payment, standing: Standing, limits: DailyLimits): EligibilityDecision;
  window(payment: Payment): RefundWindow | null;
  contentHash(payment: Payment, amountMinor: number): string;
  /** How many people must agree; 0: none. */
  approvals(payment: Payment, amountMinor: number): number;
  /** Whether its provider is sent one attempt on a payment at a time. */
  needsLane(payment: Payment): boolean;
}

export type AdmissionOutcome =
  | {
      readonly kind: 'admitted';
      readonly refund: RefundRow;
      readonly firstAskId: string;
      /** The payment's lane was free, and was taken with the reservation; false: whether it holds it is to be asked. */
      readonly holdsLane: boolean;
    }
  | { readonly kind: 'refused'; readonly broken: readonly BrokenRule[]; readonly firstAskId: string }
  | { readonly kind: 'replayed' | 'keyReused' }
  | { readonly kind: 'tooLate' }
  | { readonly kind: 'duplicateReference'; readonly refundId: string };

/**
 * Decides and reserves in one transaction, under the payment's row lock, and stores the key's outcome beside it.
 * Idempotent by run: the same run's repeat finds its own outcome; any other run is told that the key is decided.
 */
export async function admitRefund(
  db: Database,
  asAsked: Admission,
  rules: AdmissionRules,
): Promise<AdmissionOutcome> {
  const admission = { ...asAsked, reading: storable(asAsked.reading) };
  return db.transaction().execute(async (trx) => {
    const locked = await lockOrRegister(trx, admission);
    const { actor, dayStartMs, policy } = admission;
    const { provider, currency } = locked;
    const asked = { actor, provider, currency, dayStartMs, limits: policy.limits };
    // Under locks that may be waited for: before the key and the clock are asked again.
    const limits = await usedToday(trx, asked);
    const [decided, standing] = await Promise.all([
      // Somebody with the same key may have been first to these locks.
      decidedBefore(trx, admission),
      standingOf(trx, locked),
    ]);
    if (decided) return decided;

    if (rules.isLate()) return { kind: 'tooLate' };

    const duplicate = await liveReference(trx, locked.id, admission.reference);
    if (duplicate) return { kind: 'duplicateReference', refundId: duplicate };

    const row = admission.reading ? await bookExternal(trx, locked, standing, admission.reading) : locked;
    const payment = paymentFromRow(row);
    const decision = rules.decide(payment, standing, limits);

    if (decision.broken.length > 0) {
      await outcomeOfKey(admission, decision.broken)(trx).execute();
      return { kind: 'refused', broken: decision.broken, firstAskId: admission.askId };
    }
    const reserved = await reserve(trx, admission, payment, decision.amountMinor, rules);
    return { kind: 'admitted', ...reserved, firstAskId: admission.askId };
  });
}

/** A refusal that needs no payment: the provider is off, so nobody can say what the payment is. Final for its key. */
export async function refuseUnread(
  db: Database,
  admission: AskedKey,
  broken: readonly BrokenRule[],
  nowMs: number,
): Promise<Extract<AdmissionOutcome, { kind: 'refused' | 'replayed' | 'keyReused' }>> {
  return db.transaction().execute(async (trx) => {
    const decided = await decidedBefore(trx, admission);
    if (decided?.kind === 'replayed' || decided?.kind === 'keyReused' || decided?.kind === 'refused') {
      return decided;
    }
    await outcomeOfKey({ ...admission, nowMs }, broken)(trx).execute();
    return { kind: 'refused', broken, firstAskId: admission.askId };
  });
}

/** What this key came to already: the run's own outcome, or word that another run decided it. Null: nothing yet. */
export async function decidedBefore(
  trx: Database | LedgerTransaction,
  admission: Omit<AskedKey, 'askId' | 'requestId' | 'refundId'>,
): Promise<AdmissionOutcome | null> {
  const [stored] = await outcomesOfKey(trx, { actor: admission.actor, key: admission.idempotencyKey });
  if (!stored) return null;
  if (stored.fingerprint !== admission.fingerprint) return { kind: 'keyReused' };
  if (stored.admitting_run_id !== admission.runId) return { kind: 'replayed' };
  if (stored.refusal) {
    return { kind: 'refused', broken: stored.refusal, firstAskId: stored.first_ask_id };
  }
  const refund = await trx
    .selectFrom('refunds')
    .selectAll()
    .where('id', '=', stored.refund_id)
    .executeTakeFirstOrThrow();
  return { kind: 'admitted', refund, firstAskId: stored.first_ask_id, holdsLane: false };
}

const outcomesOfKey = fixedQuery((db, given: { actor: string; key: string }) =>
  db.selectFrom('idempotency').selectAll().where('actor', '=', given.actor).where('key', '=', given.key),
);

async function lockOrRegister(trx: LedgerTransaction, admission: Admission): Promise<PaymentRow> {
  if ('register' in admission.payment) await registerRead(trx, admission.payment.register, admission);
  const id = 'register' in admission.payment ? admission.payment.register.id : admission.payment.id;
  return trx.selectFrom('payments').selectAll().where('id', '=', id).forUpdate().executeTakeFirstOrThrow();
}

/** A payment that nobody registered, with the facts that its provider showed. */
async function registerRead(
  trx: LedgerTransaction,
  payment: NewPayment,
  admission: Admission,
): Promise<void> {
  const inserted = await trx
    .insertInto('payments')
    .values({
      id: payment.id,
      provider: payment.provider,
      provider_payment_id: payment.providerPaymentId,
      provider_payment_reference: payment.providerPaymentReference,
      amount_minor: payment.amountMinor,
      currency: payment.currency,
      method: payment.method,
      paid_at: new Date(payment.paidAtMs),
      reference: null,
      metadata: '{}',
      settled_at: null,
      created_by: admission.actor,
      created_at: new Date(admission.nowMs),
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .executeTakeFirst();
  if (!inserted) return;
  // The reading that registered it is later than what its provider said of it before.
  const { provider, providerPaymentId } = payment;
  const earlier = { provider, provider_payment_id: providerPaymentId };
  const readAtMs = admission.reading?.readAtMs ?? admission.nowMs;
  await matchDeliveries(trx, earlier, readAtMs, admission.nowMs);
  await appendPaymentEvent(trx, {
    paymentId: payment.id,
    type: 'payment_registered',
    origin: 'service',
    actor: admission.actor,
    reason: 'read_from_provider',
    requestId: admission.requestId,
    occurredAtMs: admission.nowMs,
    data: {
      provider: payment.provider,
      provider_payment_id: payment.providerPaymentId,
      provider_payment_reference: payment.providerPaymentReference,
      amount_minor: payment.amountMinor,
      currency: payment.currency,
      method: payment.method,
      paid_at: new Date(payment.paidAtMs).toISOString(),
    },
  });
}

async function liveReference(
  trx: LedgerTransaction,
  paymentId: string,
  reference: string | null,
): Promise<string | null> {
  if (reference === null) return null;
  const live = await trx
    .selectFrom('refunds')
    .select('id')
    .where('payment_id', '=', paymentId)
    .where('reference', '=', reference)
    .where('status', 'not in', ['failed', 'rejected', 'expired', 'canceled', 'reversed'])
    .executeTakeFirst();
  return live?.id ?? null;
}

async function reserve(
  trx: LedgerTransaction,
  admission: Admission,
  payment: Payment,
  amountMinor: number,
  rules: AdmissionRules,
): Promise<{ readonly refund: RefundRow; readonly holdsLane: boolean }> {
  const window = rules.window(payment);
  const contentHash = rules.contentHash(payment, amountMinor);
  const approval = approvalOf(admission, rules.approvals(payment, amountMinor), window);
  const { reason, description, reference, metadata } = admission;
  const asked = { provider: payment.provider, reason, description, reference };
  const status = approval ? 'requires_approval' : 'pending';
  const pendingReason = approval ? null : 'validating';
  const version = 1;
  const beginning = { id: admission.refundId, payment_id: payment.id, ...EMPTY_TRAIL };
  const { row: event, end } = linkRefundEvent(trx, beginning, {
    type: 'refund_created',
    origin: 'service',
    actor: admission.actor,
    reason,
    requestId: admission.requestId,
    occurredAtMs: admission.nowMs,
    data: {
      status,
      pending_reason: pendingReason,
      approval: approval && {
        required: approval.approvals_required,
        expires_at: approval.approval_expires_at.toISOString(),
      },
      amount_minor: amountMinor,
      currency: payment.currency,
      content_hash: contentHash,
      request_hash: requestHash({ ...asked, metadata }),
      refund_deadline: window && new Date(window.deadlineMs).toISOString(),
      submit_before: window && new Date(window.submitBeforeMs).toISOString(),
      policy_version: admission.policy.version,
      proof: admission.proof,
      provider_read: admission.reading
        ? {
            read_at: new Date(admission.reading.readAtMs).toISOString(),
            provider_status: admission.reading.snapshot.providerStatus,
            refunds: admission.reading.snapshot.refunds,
          }
        : null,
      version,
    },
  });
  const wantsLane = status === 'pending' && rules.needsLane(payment);
  const { is_heard, holds_lane, ...refund } = await withBeside(trx, [
    (query) =>
      query
        .updateTable('payments')
        .set((set) => ({ reserved_minor: set('reserved_minor', '+', amountMinor) }))
        .where('id', '=', payment.id),
    (query) => query.insertInto('refund_events').values(event),
    outcomeOfKey(admission, null),
    ...(wantsLane ? [takeIfFree(beginning, admission.nowMs)] : []),
  ])
    .insertInto('refunds')
    .values({
      ...beginning,
      ...asked,
      ...end,
      amount_minor: amountMinor,
      currency: payment.currency,
      metadata: JSON.stringify(metadata),
      status,
      pending_reason: pendingReason,
      failure_reason: null,
      review_reason: null,
      review_ends_by: null,
      provider_refund_id: null,
      provider_error: null,
      evidence: null,
      money: 'reserved',
      requested_by: admission.actor,
      request_id: admission.requestId,
      content_hash: contentHash,
      policy_version: admission.policy.version,
      ...approval,
      refund_deadline: window ? new Date(window.deadlineMs) : null,
      submit_before: window ? new Date(window.submitBeforeMs) : null,
      last_looked_at: null,
      version,
      created_at: new Date(admission.nowMs),
      updated_at: new Date(admission.nowMs),
    })
    .returningAll()
    .returning([isHeard, (wantsLane ? isFree(payment.id) : sql.lit(false)).as('holds_lane')])
    .executeTakeFirstOrThrow();
  if (is_heard) await noteNews(trx, refund.id, newsOf(null, status), admission.nowMs);
  return { refund, holdsLane: holds_lane };
}

/** The first round of votes; null: nobody need agree. */
function approvalOf({ actor, policy, nowMs }: Admission, required: number, window: RefundWindow | null) {
  if (required === 0) return null;
  const endsAtMs = approvalEndMs(nowMs, policy.approval.expiresAfterMs, window?.submitBeforeMs ?? null);
  return {
    approvals_required: required,
    approval_round: 1,
    approval_state: 'pending' as const,
    approval_opened_by: actor,
    approval_requested_at: new Date(nowMs),
    approval_expires_at: new Date(endsAtMs),
  };
}

function outcomeOfKey(
  admission: AskedKey & { readonly nowMs: number },
  refusal: readonly BrokenRule[] | null,
) {
  return ((query) =>
    query.insertInto('idempotency').values({
      actor: admission.actor,
      key: admission.idempotencyKey,
      fingerprint: admission.fingerprint,
      refund_id: admission.refundId,
      refusal: refusal ? JSON.stringify(refusal) : null,
      admitting_run_id: admission.runId,
      first_ask_id: admission.askId,
      created_at: new Date(admission.nowMs),
    })) satisfies WriteBeside;
}
