import { z } from 'zod';
import { assertNever } from '../../domain/errors.js';
import type {
  PaymentRead,
  PaymentSnapshot,
  ProviderRefundStatus,
  SubmitOutcome,
} from '../../domain/provider.js';
import type { RefundReason } from '../../domain/refund.js';
import {
  declined,
  httpError,
  isUndecided,
  notNow,
  readRefusal,
  retryAfter,
  unknown,
  unreadable,
  refusesCredentials,
} from '../answers.js';
import type { HttpAnswer } from '../http.js';
import { parseInstant } from '../instants.js';
import { majorNumber, majorWithPoint, parseJson, readJson, word } from '../json.js';
import { canonicalUuid } from '../payment-id.js';

/** 1 bank error, 2 suspicion of fraud, 3 asked for by the customer, 4 Pix Saque or Troco. */
export function reasonNumber(reason: RefundReason): 1 | 2 | 3 | 4 {
  switch (reason) {
    case 'bank_error':
      return 1;
    case 'fraudulent':
      return 2;
    case 'requested_by_customer':
    case 'duplicate':
      return 3;
    case 'pix_withdrawal':
      return 4;
    default:
      return assertNever(reason);
  }
}

/** DELETE /v1/pix/{id}/refund: 204 says that the refund was begun, not that it is done. */
export function refundOutcome(answer: HttpAnswer, nowMs: number): SubmitOutcome {
  const { status } = answer;
  if (status === 204) return { kind: 'accepted', providerRefundId: null, providerStatus: 'HTTP 204' };
  const message = errorMessage(answer.body);
  const error = httpError(answer, message ?? '');
  if (isUndecided(status)) return unknown(error, retryAfter(answer, nowMs));
  if (refusesCredentials(answer)) return notNow('authorization_required', error);
  if (message === null) return unknown(error);
  // One refund a Pix: these may refuse a second one because an earlier attempt of ours landed.
  if (status === 400 || status === 409 || status === 422) return declined(error, { mayBeOurs: true });
  if (status === 404) return declined(error, { mayBeOurs: false });
  return unknown(error);
}

const ErrorBody = z.object({
  error: z
    .union([z.string(), z.object({ message: z.string() }).transform(({ message }) => message)])
    .catch(''),
});

/** Null where the body is none of Pagou's: then it says nothing of what Pagou did. */
function errorMessage(text: string): string | null {
  if (text.trim() === '') return '';
  return ErrorBody.safeParse(parseJson(text)).data?.error ?? null;
}

/** GET /v1/pix/{id} */
export function paymentRead(answer: HttpAnswer, providerPaymentId: string, nowMs: number): PaymentRead {
  const refusal = readRefusal(answer, nowMs);
  if (refusal) return refusal;
  if (answer.status === 404 && errorMessage(answer.body) !== null) {
    return { kind: 'notFound', detail: 'Pagou knows no such Pix' };
  }
  if (answer.status !== 200) return unreadable(`the provider answered HTTP ${answer.status}`);
  const pix = readJson(Pix, answer.body);
  if (!pix.ok) return unreadable(pix.detail);
  if (canonicalUuid(pix.value.id) !== providerPaymentId) return unreadable('the answer is about another Pix');
  return { kind: 'found', snapshot: snapshotOf(pix.value) };
}

/** Reais: a number, or text with a point. */
const reais = z.union([majorNumber, majorWithPoint]);

const Pix = z.object({
  id: z.string(),
  amount: reais.nullish(),
  status: word,
  paid_at: z.string().nullish(),
  refund: z
    .object({ amount: reais.nullish(), external_id: word.nullish(), status: word.nullish() })
    .refine(({ amount, status }) => amount != null || !status, { message: 'a status without an amount' })
    .nullish(),
});

type Pix = z.output<typeof Pix>;

function snapshotOf(pix: Pix): PaymentSnapshot {
  const status = PAYMENT_STATUS.get(bareWord(pix.status)) ?? 'unknown';
  return {
    status,
    providerStatus: pix.status,
    providerPaymentReference: null,
    amountMinor: pix.amount ?? null,
    amountMayBeReduced: false,
    currency: 'BRL',
    method: null,
    paidAtMs: parseInstant(pix.paid_at),
    ...refundsOf(pix, status === 'refunded'),
    complete: true,
  };
}

/**
 * A refund object of no amount is an empty one. One without a status says how much went back once the charge is refunded,
 * and nothing before; whether "refunded" without any refund object is ours, the caller decides.
 */
function refundsOf(
  { refund }: Pix,
  isRefunded: boolean,
): Pick<PaymentSnapshot, 'refunds' | 'totalOnlyMinor'> {
  if (!refund?.amount) return { refunds: [] };
  if (!refund.status && isRefunded) return { refunds: [], totalOnlyMinor: refund.amount };
  const status = refund.status ? (REFUND_STATUS.get(bareWord(refund.status)) ?? 'unknown') : 'unclear';
  return {
    refunds: [
      {
        providerRefundId: refund.external_id || null,
        amountMinor: refund.amount,
        status,
        providerStatus: `refund.status ${refund.status ?? 'absent'}`,
      },
    ],
  };
}

/** "StatusCompleted" → "completed": the document has words where the answers have numbers. */
function bareWord(status: string): string {
  return status.toLowerCase().replace(/^status/, '');
}

const PAYMENT_STATUS: ReadonlyMap<string, PaymentSnapshot['status']> = new Map([
  ['1', 'notRefundable'],
  ['empty', 'notRefundable'],
  ['2', 'notRefundable'],
  ['active', 'notRefundable'],
  ['3', 'notRefundable'],
  ['canceled', 'notRefundable'],
  ['cancelled', 'notRefundable'],
  ['4', 'refundable'],
  ['completed', 'refundable'],
  ['5', 'refunded'],
  ['refunded', 'refunded'],
  ['6', 'notRefundable'],
  ['removed', 'notRefundable'],
]);

const REFUND_STATUS: ReadonlyMap<string, ProviderRefundStatus> = new Map([
  ['2', 'processing'],
  ['processing', 'processing'],
  ['3', 'succeeded'],
  ['completed', 'succeeded'],
  ['succeeded', 'succeeded'],
]);
