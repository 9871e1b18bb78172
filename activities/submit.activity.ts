import { activityInfo } from '@temporalio/activity';
import type { PaymentRead, RefundProvider, SubmitOutcome } from '../src/domain/provider.js';
import { assertNever } from '../src/domain/errors.js';
import type { LookResult, SubmitResult } from '../src/domain/saga-state.js';
import { REPEAT_FOR_MS } from '../src/domain/saga-bounds.js';
import {
  claimAttempt,
  attemptsOf,
  noteRepeat,
  type AttemptRow,
  type ClaimOutcome,
} from '../src/ledger/attempts.js';
import { windowOfPayment } from '../src/domain/window.js';
import { paymentFromRow, referenceOf } from '../src/ledger/payment-row.js';
import { recordAnswer, recordNotNow, standingResult } from '../src/ledger/answers.js';
import { returnProbe, showShut, type Permit, type ShutGate } from '../src/ledger/provider-gates.js';
import { loadRefund, UNUSABLE_READING, type PaymentRow, type RefundRow } from '../src/ledger/refunds.js';
import { providerNamed, type ActivityDeps } from './deps.js';
import { askToSubmit, readGuarded, reportSubmit, shutError } from './guarded-calls.js';
import type { SubmitActivityResult } from './interface.js';
import { look } from './look.activity.js';

/** From the claim until the bytes must have left: past it the claim is void. A quick provider is given less. */
const SEND_WITHIN_MS_MAX = 2_000;
/** With the call before it still less than three seconds, from which on the engine is told that the worker lives. */
const WATCH_MS_MAX = 2_500;

interface Subject {
  readonly refund: RefundRow;
  readonly payment: PaymentRow;
  readonly number: number;
  /** The later of the workflow's clock and ours: windows follow it. */
  readonly decisionMs: number;
}

/** Looks once more, claims the attempt, calls once, and stores the classified answer before it returns. */
export async function submit(
  deps: ActivityDeps,
  input: { refundId: string; attempt: number; nowMs: number },
): Promise<SubmitActivityResult> {
  const { refund, payment } = await loadRefund(deps.db, input.refundId);
  // What is asked for by hand may hold anything: no attempt has the number 0.
  const next = refund.attempt + 1;
  const number = Number.isInteger(input.attempt) && input.attempt <= next ? Math.max(0, input.attempt) : 0;
  const workflowNowMs = Number.isFinite(input.nowMs) ? input.nowMs : 0;
  const subject = { refund, payment, number, decisionMs: Math.max(workflowNowMs, deps.nowMs()) };
  const { provider } = providerNamed(deps, refund.provider);
  // Row and number are written in one transaction: no attempt is later than the refund's own number.
  const attempts = number === next ? [] : await attemptsOf(deps.db, refund.id, number);
  const existing = attempts.find((attempt) => attempt.number === number);
  if (existing) return continueClaimed(deps, provider, subject, existing);
  if (refund.status !== 'pending') return notPending(refund);
  if (number !== next) return earlierOpen(deps, refund);
  if (!provider) {
    const message = 'The provider is not enabled.';
    return postpone(deps, subject, 'provider_unavailable', 'provider_off', message, null);
  }

  const gate = await askToSubmit(deps, refund);
  if (gate.kind === 'shut') return park(deps, subject, gate);
  const result = await claimAndCall(deps, provider, subject, gate.permit);
  await returnProbe(deps.db, gate.permit, deps.nowMs());
  return result;
}

async function claimAndCall(
  deps: ActivityDeps,
  provider: RefundProvider,
  subject: Subject,
  permit: Permit,
): Promise<SubmitActivityResult> {
  const { refund, payment } = subject;
  const readAtMs = deps.nowMs();
  const read = await readGuarded(deps, provider, referenceOf(paymentFromRow(payment)));
  if (read.kind !== 'found') return unread(deps, subject, read);
  if (permit.probesReads) {
    // It answers again, and who probed it need not be the first in line.
    const turn = await askToSubmit(deps, refund);
    return turn.kind === 'shut'
      ? park(deps, subject, turn)
      : claimAndCall(deps, provider, subject, turn.permit);
  }

  const { window } = await deps.policies.of(refund.policy_version);
  const nowMs = deps.nowMs();
  const claimed = await claimAttempt(deps.db, {
    refundId: refund.id,
    number: subject.number,
    idempotencyKey: `${refund.id.replace('_', '-')}-${subject.number}`,
    reading: { ...read.snapshot, readAtMs },
    needsLane: !provider.capabilities.idempotentSubmit,
    rules: {
      capabilities: provider.capabilities,
      providerEnabled: true,
      window: windowOfPayment(paymentFromRow(payment), read.snapshot.paidAtMs, window),
    },
    sendByMs: nowMs + sendWithinMs(deps),
    nowMs,
    decisionMs: subject.decisionMs,
  });
  return afterClaim(deps, provider, subject, permit, claimed);
}

async function afterClaim(
  deps: ActivityDeps,
  provider: RefundProvider,
  subject: Subject,
  permit: Permit,
  claimed: ClaimOutcome,
): Promise<SubmitActivityResult> {
  switch (claimed.kind) {
    case 'claimed':
      return call(deps, provider, subject, permit, claimed.attempt, claimed.attempt.send_by.getTime());
    case 'exists':
      return { result: standingResult(claimed.attempt), wakeRefundId: null };
    case 'earlierOpen':
      return earlierOpen(deps, subject.refund);
    case 'unusableReading':
      return postpone(deps, subject, 'provider_unavailable', UNUSABLE_READING, claimed.why, null);
    case 'paused':
      return postpone(
        deps,
        subject,
        'provider_unavailable',
        'provider_paused',
        'The provider was paused while it was being read.',
        null,
      );
    case 'laneLost':
      return postpone(
        deps,
        subject,
        'provider_unavailable',
        'lane_lost',
        'Another attempt on the payment is open.',
        0,
      );
    case 'ineligible':
      return {
        result: { kind: 'ineligible', attempt: subject.refund.attempt, code: claimed.code },
        wakeRefundId: null,
      };
    case 'refundClosed':
      return notPending(subject.refund);
    default:
      return assertNever(claimed);
  }
}

/** People decide about it, or it has ended: its process asks the ledger. */
function notPending({ attempt }: RefundRow): SubmitActivityResult {
  return { result: { kind: 'notPending', attempt }, wakeRefundId: null };
}

function earlierOpen(deps: ActivityDeps, { attempt }: RefundRow): SubmitActivityResult {
  return {
    result: { kind: 'unknown', attempt, firstSentAtMs: deps.nowMs(), resendAfterMs: null },
    wakeRefundId: null,
  };
}

/** The claim is somebody's already: only under an idempotency key may it be sent again. */
async function continueClaimed(
  deps: ActivityDeps,
  provider: RefundProvider | null,
  subject: Subject,
  attempt: AttemptRow,
): Promise<SubmitActivityResult> {
  const standing: SubmitActivityResult = { result: standingResult(attempt), wakeRefundId: null };
  const nowMs = deps.nowMs();
  const mayRepeat =
    provider?.capabilities.idempotentSubmit === true &&
    subject.refund.status === 'pending' &&
    attempt.conclusion === null &&
    attempt.answer?.kind !== 'accepted' &&
    nowMs < attempt.claimed_at.getTime() + REPEAT_FOR_MS &&
    (attempt.resend_after === null || nowMs >= attempt.resend_after.getTime()) &&
    (subject.refund.submit_before === null || subject.decisionMs < subject.refund.submit_before.getTime());
  if (!mayRepeat) return standing;
  const gate = await askToSubmit(deps, subject.refund);
  if (gate.kind === 'shut') return standing;
  const sendByMs = nowMs + sendWithinMs(deps);
  const noted = await noteRepeat(deps.db, {
    refundId: subject.refund.id,
    number: attempt.number,
    sendByMs,
    nowMs,
  });
  const result = noted ? await call(deps, provider, subject, gate.permit, attempt, sendByMs) : standing;
  await returnProbe(deps.db, gate.permit, deps.nowMs());
  return result;
}

async function call(
  deps: ActivityDeps,
  provider: RefundProvider,
  { refund, payment }: Subject,
  permit: Permit,
  attempt: AttemptRow,
  sendByMs: number,
): Promise<SubmitActivityResult> {
  const outcome = await provider.submitRefund(
    {
      payment: referenceOf(paymentFromRow(payment)),
      refundId: refund.id,
      amountMinor: refund.amount_minor,
      currency: refund.currency,
      reason: refund.reason,
      description: refund.description,
      idempotencyKey: attempt.idempotency_key,
    },
    () => deps.nowMs() < sendByMs,
  );
  if (outcome.kind === 'unknown') {
    deps.log.warn(
      { refundId: refund.id, attempt: attempt.number, error: outcome.error },
      'the outcome of a submit is unknown',
    );
  }
  const watchMs = watchMsFor(deps, refund);
  const stored = await storeAnswer(deps, { refundId: refund.id, number: attempt.number, outcome }, watchMs);
  await reportSubmit(deps, permit, outcome);
  return stored.result.kind === 'accepted' && watchMs > 0
    ? awaitWord(deps, { refund, payment }, attempt, stored, watchMs)
    : stored;
}

/** Half of what the refund's own first look would wait, so that it comes little later where there is no webhook. */
function watchMsFor(deps: ActivityDeps, { provider }: RefundRow): number {
  const { sendsWebhooks } = providerNamed(deps, provider).definition;
  return sendsWebhooks ? Math.min(WATCH_MS_MAX, deps.timings.confirmPollMs / 2) : 0;
}

/**
 * Most confirmations come at once, and what comes here spares the refund a wait of its own. Nothing rests on it: a
 * worker that dies meanwhile has stored the answer, and the refund's own looks find the rest.
 */
async function awaitWord(
  deps: ActivityDeps,
  { refund, payment }: Pick<Subject, 'refund' | 'payment'>,
  attempt: AttemptRow,
  accepted: SubmitActivityResult,
  watchMs: number,
): Promise<SubmitActivityResult> {
  const { provider, provider_payment_id: providerPaymentId } = payment;
  const atProvider = { provider, providerPaymentId };
  const read = () => look(deps, { refundId: refund.id, source: 'webhook' });
  let seen = (await deps.webhooks.named(atProvider, watchMs)) ? await read() : null;
  if (!isDecided(seen) && (await deps.webhooks.endWatch(attempt, atProvider))) seen = await read();
  if (!isDecided(seen)) return accepted;
  const { number } = attempt;
  const result: SubmitResult =
    seen.kind === 'landed'
      ? { kind: 'done', attempt: number }
      : { kind: 'declined', attempt: number, resolveFirst: false };
  return { ...accepted, result };
}

function isDecided(seen: LookResult | null): seen is { readonly kind: 'landed' | 'rejected' } {
  return seen?.kind === 'landed' || seen?.kind === 'rejected';
}

/** The answer exists in this process alone until it is stored: the ledger's absence is waited out, not given up on. */
async function storeAnswer(
  deps: ActivityDeps,
  answered: { refundId: string; number: number; outcome: SubmitOutcome },
  watchMs: number,
): Promise<SubmitActivityResult> {
  const untilMs =
    activityInfo().currentAttemptScheduledTimestampMs + activityInfo().startToCloseTimeoutMs - 10_000;
  for (;;) {
    try {
      const nowMs = deps.nowMs();
      return await recordAnswer(deps.db, { ...answered, nowMs, watchedUntilMs: nowMs + watchMs });
    } catch (error) {
      if (deps.nowMs() > untilMs) throw error;
      deps.log.error({ refundId: answered.refundId, err: error }, 'an answer could not be stored yet');
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

async function unread(
  deps: ActivityDeps,
  subject: Subject,
  read: Exclude<PaymentRead, { kind: 'found' }>,
): Promise<SubmitActivityResult> {
  switch (read.kind) {
    case 'notFound':
      return {
        result: { kind: 'ineligible', attempt: subject.refund.attempt, code: 'payment_facts_mismatch' },
        wakeRefundId: null,
      };
    case 'unavailable':
      return postpone(deps, subject, read.reason, 'read_failed', read.detail, read.retryAfterMs);
    case 'unreadable':
      return postpone(deps, subject, 'provider_unavailable', 'read_unreadable', read.detail, null);
    default:
      return assertNever(read);
  }
}

/** Nothing is read or claimed while the gate is shut. */
async function park(deps: ActivityDeps, subject: Subject, gate: ShutGate): Promise<SubmitActivityResult> {
  const error = shutError(gate, deps.nowMs());
  if (gate.why !== 'turn') await showShut(deps.db, subject.refund, error, deps.nowMs());
  return postpone(deps, subject, 'provider_unavailable', error.code, error.message, gate.retryAfterMs);
}

function postpone(
  deps: ActivityDeps,
  subject: Subject,
  reason: 'provider_unavailable' | 'authorization_required',
  code: string,
  message: string,
  retryAfterMs: number | null,
): Promise<SubmitActivityResult> {
  return recordNotNow(deps.db, {
    refundId: subject.refund.id,
    reason,
    error: { code, message },
    retryAfterMs,
    nowMs: deps.nowMs(),
  });
}

function sendWithinMs(deps: ActivityDeps): number {
  return Math.min(SEND_WITHIN_MS_MAX, deps.timings.providerTimeoutMs);
}
