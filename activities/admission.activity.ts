import { Context } from '@temporalio/activity';
import { approvalsRequired } from '../src/domain/approval.js';
import { decideEligibility } from '../src/domain/eligibility.js';
import { assertNever } from '../src/domain/errors.js';
import type { Payment } from '../src/domain/payment.js';
import { isOpen } from '../src/domain/refund.js';
import type { ApprovalWait, SagaTerms } from '../src/domain/saga-state.js';
import { factsShown } from '../src/domain/unregistered.js';
import { startOfDayMs, windowOfPayment, type RefundWindow } from '../src/domain/window.js';
import {
  admitRefund,
  decidedBefore,
  refuseUnread,
  type Admission,
  type AdmissionOutcome,
  type AdmissionRules,
} from '../src/ledger/admission.js';
import { approvalWait } from '../src/ledger/approval-standing.js';
import { attemptsOf } from '../src/ledger/attempts.js';
import { findPayment, findPaymentAtProvider } from '../src/ledger/payments.js';
import { referenceOf } from '../src/ledger/payment-row.js';
import { findRefund } from '../src/ledger/refund-reads.js';
import type { RefundRow } from '../src/ledger/refunds.js';
import { contentHashOf } from '../src/signing/content-hash.js';
import { isProven } from '../src/signing/proof.js';
import { paymentIdOf } from '../src/signing/refund-id.js';
import type { Envelope } from '../workflows/messages.js';
import { providerNamed, type ActivityDeps } from './deps.js';
import { readGuarded } from './guarded-calls.js';
import type {
  AdmissionVerdict,
  AdmitResult,
  RefundRequest,
  RefundResume,
  RefundStart,
  Resume,
} from './interface.js';

/** The client waits for this reading; past it a registered payment is decided from the ledger. */
const READ_AT_ADMISSION_MS = 3_000;

type Refused = Exclude<AdmissionVerdict, { kind: 'admitted' }>;
/** What is refunded, found in the ledger or read from the provider, with what the provider shows of it. */
type Subject =
  | {
      readonly kind: 'subject';
      readonly payment: Admission['payment'];
      readonly reading: Admission['reading'];
      readonly unknownAtProvider: boolean;
    }
  | { readonly kind: 'refused'; readonly verdict: Refused };

/** Reads the payment, decides every rule, reserves: one local activity, one transaction, one verdict. */
export async function admit(
  deps: ActivityDeps,
  { body: start, proof }: Envelope<RefundStart> | Envelope<RefundResume>,
): Promise<AdmitResult> {
  if ('resume' in start) return goOn(deps, start.refundId);
  if (proof === undefined || !isProven(deps.frontDoorKeys, 'start', start, proof)) {
    return unproven(deps, start.refundId);
  }
  // Before the clock is asked: what is decided stays so, however late this run comes to hear of it.
  const asked = { ...start, runId: runId() };
  const decided = await decidedBefore(deps.db, asked);
  if (decided) return answerTo(deps, start, decided);
  if (deps.nowMs() > start.admitUntilMs) return { verdict: { kind: 'tooLate' } };

  const subject = await subjectOf(deps, start);
  if (subject.kind === 'refused') return { verdict: subject.verdict };

  const nowMs = deps.nowMs();
  const { reason, description, reference, metadata } = start.request;
  const admission: Admission = {
    ...asked,
    ...{ reason, description, reference, metadata },
    payment: subject.payment,
    reading: subject.reading,
    policy: deps.policies.current,
    dayStartMs: startOfDayMs(nowMs, deps.policies.current.window.timeZone),
    proof,
    nowMs,
  };
  await deps.policies.keep();
  return answerTo(deps, start, await admitRefund(deps.db, admission, rulesOf(deps, start, subject, nowMs)));
}

async function answerTo(
  deps: ActivityDeps,
  start: RefundStart,
  outcome: AdmissionOutcome,
): Promise<AdmitResult> {
  switch (outcome.kind) {
    case 'admitted':
      return {
        verdict: { kind: 'admitted', refundId: outcome.refund.id, firstAskId: outcome.firstAskId },
        terms: await termsOf(deps, outcome.refund),
        ...(await waitOf(deps, outcome.refund)),
        ...(outcome.holdsLane ? { holdsLane: true } : {}),
      };
    case 'refused':
      return { verdict: { kind: 'refused', broken: outcome.broken, firstAskId: outcome.firstAskId } };
    case 'keyReused':
    case 'tooLate':
      return { verdict: { kind: outcome.kind } };
    case 'replayed':
      return goOn(deps, start.refundId);
    case 'duplicateReference':
      return {
        verdict: { kind: 'duplicateReference', detail: `The refund ${outcome.refundId} has this reference.` },
      };
    default:
      return assertNever(outcome);
  }
}

/** Nobody whom the front door let in asked for this; what is admitted already goes on, as the ledger has it. */
async function unproven(deps: ActivityDeps, refundId: string): Promise<AdmitResult> {
  if (await findRefund(deps.db, refundId)) return goOn(deps, refundId);
  deps.log.error(
    { refundId },
    'a refund was started without the proof of the front door, and is not admitted',
  );
  return { verdict: { kind: 'unproven' } };
}

/** A refund has one workflow id and so one run at a time: if it is open and not ours yet, its earlier run is gone. */
async function goOn(deps: ActivityDeps, refundId: string): Promise<AdmitResult> {
  const verdict = { kind: 'replayed' } as const;
  const refund = await findRefund(deps.db, refundId);
  if (!refund) return { verdict };
  return isOpen(refund.status)
    ? { verdict, resume: await resumeOf(deps, refund) }
    : { verdict, status: refund.status };
}

async function resumeOf(deps: ActivityDeps, refund: RefundRow): Promise<Resume> {
  const refundId = refund.id;
  const attempts = await attemptsOf(deps.db, refundId);
  const open = attempts.findLast(({ conclusion }) => conclusion === null);
  const absent = attempts.filter(({ conclusion }) => conclusion === 'absent');
  return {
    terms: await termsOf(deps, refund),
    ...(await waitOf(deps, refund)),
    attempt: refund.attempt,
    firstSentAtMs: open?.claimed_at.getTime() ?? null,
    // A person's resend that was never sent is still to be carried out.
    resends:
      refund.pending_reason === 'validating'
        ? 0
        : absent.filter(({ number }) => number < refund.attempt).length,
    inReview: refund.status === 'review',
  };
}

async function subjectOf(deps: ActivityDeps, start: RefundStart): Promise<Subject> {
  const { payment: asked } = start.request;
  const registered =
    'paymentId' in asked
      ? await findPayment(deps.db, asked.paymentId)
      : await findPaymentAtProvider(deps.db, asked.provider, asked.providerPaymentId);
  if (registered) return registeredSubject(deps, registered);
  if ('paymentId' in asked) {
    return refused({ kind: 'paymentNotFound', detail: 'No such payment is registered.' });
  }
  return unregisteredSubject(deps, start, asked);
}

async function registeredSubject(deps: ActivityDeps, payment: Payment): Promise<Subject> {
  const { provider } = providerNamed(deps, payment.provider);
  const readAtMs = deps.nowMs();
  const read = provider
    ? await readGuarded(deps, provider, referenceOf(payment), READ_AT_ADMISSION_MS)
    : null;
  return {
    kind: 'subject',
    payment: { id: payment.id },
    reading: read?.kind === 'found' ? { snapshot: read.snapshot, readAtMs } : null,
    unknownAtProvider: read?.kind === 'notFound',
  };
}

async function unregisteredSubject(
  deps: ActivityDeps,
  start: RefundStart,
  asked: Extract<RefundRequest['payment'], { provider: string }>,
): Promise<Subject> {
  const { provider, definition } = providerNamed(deps, asked.provider);
  if (!provider && start.providerEnabled) return refused(notReadNow());
  if (!provider) {
    const detail = `The provider ${asked.provider} is not enabled.`;
    const broken = [{ code: 'provider_not_enabled' as const, detail, pointer: '' }];
    const outcome = await refuseUnread(deps.db, { ...start, runId: runId() }, broken, deps.nowMs());
    return refused(outcome.kind === 'refused' ? outcome : { kind: outcome.kind });
  }
  const readAtMs = deps.nowMs();
  const reference = { ...asked, providerPaymentReference: null, paymentId: null, paidAtMs: null };
  const read = await readGuarded(deps, provider, reference, READ_AT_ADMISSION_MS);
  switch (read.kind) {
    case 'found': {
      const facts = factsShown(read.snapshot, definition.capabilities);
      if (!facts) {
        return refused({
          kind: 'paymentNotFound',
          detail: 'The provider does not show all facts of this payment: register it first.',
        });
      }
      return {
        kind: 'subject',
        payment: {
          register: { id: paymentIdOf(asked.provider, asked.providerPaymentId), ...asked, ...facts },
        },
        reading: { snapshot: read.snapshot, readAtMs },
        unknownAtProvider: false,
      };
    }
    case 'notFound':
      return refused({ kind: 'paymentNotFound', detail: 'Neither we nor the provider know this payment.' });
    case 'unavailable':
    case 'unreadable':
      return refused(notReadNow());
  }
}

function rulesOf(
  deps: ActivityDeps,
  start: RefundStart,
  subject: Extract<Subject, { kind: 'subject' }>,
  nowMs: number,
): AdmissionRules {
  const policy = deps.policies.current;
  const { reason } = start.request;
  const shownPaidAtMs = subject.reading?.snapshot.paidAtMs ?? null;
  const window = (payment: Payment): RefundWindow | null =>
    windowOfPayment(payment, shownPaidAtMs, policy.window);
  return {
    window,
    isLate: () => deps.nowMs() > start.admitUntilMs,
    decide: (payment, standing, limits) => {
      const { definition, provider } = providerNamed(deps, payment.provider);
      return decideEligibility(start.request, {
        payment,
        capabilities: definition.capabilities,
        providerEnabled: provider !== null || start.providerEnabled,
        snapshot: subject.reading?.snapshot ?? null,
        unknownAtProvider: subject.unknownAtProvider,
        window: window(payment),
        liveRefunds: standing.liveRefunds,
        limits,
        nowMs,
      });
    },
    approvals: (payment, amountMinor) =>
      approvalsRequired(policy.approval.rules, {
        amountMinor,
        heldMinor: payment.refundedMinor + payment.reservedMinor,
        reason,
        provider: payment.provider,
        requester: start.actor,
      }),
    needsLane: (payment) => !providerNamed(deps, payment.provider).definition.capabilities.idempotentSubmit,
    contentHash: (payment, amountMinor) =>
      contentHashOf({
        refundId: start.refundId,
        provider: payment.provider,
        providerPaymentId: payment.providerPaymentId,
        amountMinor,
        currency: payment.currency,
        reason,
        requestedBy: start.actor,
        policyVersion: policy.version,
      }),
  };
}

function runId(): string {
  const execution = Context.current().info.workflowExecution;
  if (!execution) throw new Error('admission belongs to a workflow');
  return execution.runId;
}

/** Nothing where it waits for nobody. */
async function waitOf(deps: ActivityDeps, refund: RefundRow): Promise<{ approval?: ApprovalWait }> {
  return refund.status === 'requires_approval' ? { approval: await approvalWait(deps.db, refund) } : {};
}

/** Under the policy that it was admitted under, whatever the file says by now. */
async function termsOf(deps: ActivityDeps, refund: RefundRow): Promise<SagaTerms> {
  const policy = await deps.policies.of(refund.policy_version);
  const { capabilities } = providerNamed(deps, refund.provider).definition;
  return {
    provider: refund.provider,
    paymentId: refund.payment_id,
    amountMinor: refund.amount_minor,
    currency: refund.currency,
    needsLane: !capabilities.idempotentSubmit,
    idempotentSubmit: capabilities.idempotentSubmit,
    deadlineMs: refund.refund_deadline?.getTime() ?? null,
    submitBeforeMs: refund.submit_before?.getTime() ?? null,
    quietMs: deps.timings.providerQuietMs,
    pollMs: deps.timings.confirmPollMs,
    pollMaxMs: deps.timings.confirmPollMaxMs,
    retryMaxMs: deps.timings.retryMaxMs,
    insufficientBalanceWaitMs: policy.insufficientBalanceWaitMs,
    providerUnavailableWaitMs: policy.providerUnavailableWaitMs,
    processingReviewAfterMs: policy.processingReviewAfterMs,
    unknownReviewAfterMs: policy.outcomeUnknownReviewAfterMs,
    confirmsQuickly: true,
    reminders: { everyMs: policy.approval.remindEveryMs, escalateAfterMs: policy.approval.escalateAfterMs },
  };
}

function notReadNow(): Refused {
  return {
    kind: 'providerUnavailable',
    detail: 'The payment is not registered, and the provider can’t be read now.',
  };
}

function refused(verdict: Refused): Subject {
  return { kind: 'refused', verdict };
}
