import { randomUUID } from 'node:crypto';
import type { AdmissionVerdict, RefundRequest, RefundStart } from '../../activities/interface.js';
import type { BrokenRule } from '../domain/eligibility.js';
import { assertNever } from '../domain/errors.js';
import type { Payment } from '../domain/payment.js';
import { isOpen } from '../domain/refund.js';
import { refundWindow } from '../domain/window.js';
import { findPayment, findPaymentAtProvider } from '../ledger/payments.js';
import { findOutcomeOfKey, type RefundRow } from '../ledger/refund-reads.js';
import { fingerprintOf } from '../signing/fingerprint.js';
import { prove } from '../signing/proof.js';
import { refundIdOfKey } from '../signing/refund-id.js';
import { refundSummary, type RefundHints } from '../../workflows/start-options.js';
import type { ApiDeps } from './deps.js';
import { canonicalId, knownProvider } from './payment-naming.js';
import { engineUnavailable, notFound, Problem } from './problem.js';
import { EngineFailure } from './refund-engine.js';
import type { RefundBody } from './refund.schema.js';

export interface RefundAsk {
  readonly actor: string;
  readonly idempotencyKey: string;
  readonly requestId: string;
  readonly body: RefundBody;
}

/** An admission that begins later than this stores nothing, so that no old request is carried out unexpectedly. */
const ADMIT_WITHIN_MS = 60_000;
const REPLAYED = { 'Idempotent-Replayed': 'true' };

/**
 * Asks for one refund: the key's stored answer where there is one, else the workflow's first verdict.
 * @throws Problem for everything but 202.
 */
export async function requestRefund(
  deps: ApiDeps,
  ask: RefundAsk,
): Promise<{ readonly refund: RefundRow; readonly replayed: boolean }> {
  const request = toRefundRequest(deps, ask.body);
  const payment = await paymentInLedger(deps, request);
  const start = startOf(deps, ask, request, payment);
  const hints = hintsFor(deps, request, payment);
  const known = await answerOfKey(deps, start);
  if (known) {
    if (isOpen(known.refund.status)) keepRunning(deps, known.refund);
    return known;
  }
  if (!payment && 'paymentId' in request.payment) throw notFound('payment');

  const verdict = await verdictOf(deps, start, hints);
  // Whoever has Temporal alone may answer with a lie: what is final for the key is what the ledger holds.
  const stored = await answerOfKey(deps, start);
  if (stored) return stored;
  throw notStored(verdict);
}

function startOf(
  deps: ApiDeps,
  ask: RefundAsk,
  request: RefundRequest,
  payment: Payment | null,
): RefundStart {
  return {
    refundId: refundIdOfKey(ask.actor, ask.idempotencyKey),
    actor: ask.actor,
    idempotencyKey: ask.idempotencyKey,
    fingerprint: fingerprintOf(request),
    requestId: ask.requestId,
    askId: randomUUID(),
    providerEnabled: isEnabled(deps, payment?.provider ?? providerOf(request)),
    admitUntilMs: deps.nowMs() + ADMIT_WITHIN_MS,
    request,
  };
}

/** An open refund whose process was lost gets one that goes on from the ledger; nobody waits for that. */
function keepRunning(deps: ApiDeps, refund: RefundRow): void {
  deps.engine.keepRunning(refund).catch((error: unknown) => {
    deps.log.warn({ err: error, refundId: refund.id }, 'an open refund could not be kept running');
  });
}

/** With every id in its canonical form, so that two ways of writing one payment are one request. */
export function toRefundRequest(deps: Pick<ApiDeps, 'providers'>, body: RefundBody): RefundRequest {
  return {
    payment: namedPayment(deps, body),
    amountMinor: body.amount ?? null,
    currency: body.currency ?? null,
    reason: body.reason,
    description: body.description ?? null,
    reference: body.reference ?? null,
    metadata: body.metadata ?? {},
    expectedRefundableMinor: body.expected_refundable_amount ?? null,
  };
}

export async function paymentInLedger(
  deps: Pick<ApiDeps, 'db'>,
  request: RefundRequest,
): Promise<Payment | null> {
  return 'paymentId' in request.payment
    ? findPayment(deps.db, request.payment.paymentId)
    : findPaymentAtProvider(deps.db, request.payment.provider, request.payment.providerPaymentId);
}

function namedPayment(deps: Pick<ApiDeps, 'providers'>, body: RefundBody): RefundRequest['payment'] {
  if (body.payment_id !== undefined) return { paymentId: body.payment_id };
  const { provider, provider_payment_id: id } = body;
  if (provider === undefined || id === undefined) {
    throw new TypeError('the schema lets exactly one form through');
  }
  return { provider, providerPaymentId: canonicalId(knownProvider(deps, provider), id) };
}

/** What the ledger says under this key; null: nothing yet. @throws Problem for a refusal or another body. */
async function answerOfKey(
  deps: ApiDeps,
  start: RefundStart,
): Promise<{ refund: RefundRow; replayed: boolean } | null> {
  const outcome = await findOutcomeOfKey(deps.db, start.actor, start.idempotencyKey);
  if (!outcome) return null;
  if (outcome.fingerprint !== start.fingerprint) throw keyReused();
  // Its own verdict may have been late for whoever asked first.
  const replayed = outcome.firstAskId !== start.askId;
  if (outcome.refusal) throw refusal(outcome.refusal, replayed ? REPLAYED : {});
  const { refund } = outcome;
  if (!refund) throw new Error('an admitted key names no refund');
  return { refund, replayed };
}

/** Null: the engine gave none, and only the ledger can tell what happened. */
async function verdictOf(
  deps: ApiDeps,
  start: RefundStart,
  hints: RefundHints,
): Promise<AdmissionVerdict | null> {
  try {
    const proof = prove(deps.config.frontDoorKeys, 'start', start);
    return await deps.engine.requestRefund({ body: start, proof }, hints);
  } catch (error) {
    if (!(error instanceof EngineFailure)) throw error;
    deps.log.warn(
      { err: error, refundId: start.refundId, requestId: start.requestId },
      'no verdict from the engine',
    );
    if (error.kind === 'busy') {
      throw new Problem(
        'idempotency_in_progress',
        'Many requests with this Idempotency-Key wait for their answer.',
      );
    }
    return null;
  }
}

/** For a verdict that leaves the key as it was, and for one that the ledger knows nothing of. */
function notStored(verdict: AdmissionVerdict | null): Problem {
  switch (verdict?.kind) {
    case 'paymentNotFound':
      return new Problem('not_found', verdict.detail);
    case 'duplicateReference':
      return new Problem('duplicate_reference', verdict.detail, {
        errors: [{ pointer: '/reference', detail: verdict.detail }],
      });
    case 'providerUnavailable':
      return new Problem('provider_unavailable', verdict.detail);
    case 'admitted':
    case 'refused':
    case 'keyReused':
    case 'replayed':
    case 'tooLate':
    case 'unproven':
    case undefined:
      return engineUnavailable();
    default:
      return assertNever(verdict);
  }
}

function refusal(broken: readonly BrokenRule[], headers: Readonly<Record<string, string>>): Problem {
  const [first] = broken;
  if (!first) throw new Error('a refusal names no rule');
  return new Problem(first.code, first.detail, {
    errors: broken.map(({ code, pointer, detail }) => ({ code, pointer, detail })),
    headers,
  });
}

function keyReused(): Problem {
  return new Problem('idempotency_key_reused', 'This Idempotency-Key was used with another body.');
}

function providerOf(request: RefundRequest): string {
  return 'provider' in request.payment ? request.payment.provider : 'unknown';
}

function isEnabled(deps: ApiDeps, provider: string): boolean {
  return deps.providers.get(provider)?.provider != null;
}

function hintsFor(deps: ApiDeps, request: RefundRequest, payment: Payment | null): RefundHints {
  const provider = payment?.provider ?? providerOf(request);
  const window = payment && refundWindow(payment.method, payment.paidAtMs, deps.policy.window);
  return {
    provider,
    paymentId: payment?.id ?? null,
    reference: request.reference,
    amountMinor: request.amountMinor,
    deadlineMs: window?.deadlineMs ?? null,
    summary: refundSummary(provider, request.amountMinor, request.currency ?? payment?.currency ?? null),
  };
}
