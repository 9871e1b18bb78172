import { z } from 'zod';
import type {
  PaymentReference,
  PaymentRead,
  PaymentSnapshot,
  ProviderRefund,
  SubmitOutcome,
} from '../../domain/provider.js';
import {
  declined,
  httpError,
  isClientError,
  isUndecided,
  notNow,
  providerError,
  readRefusal,
  retryAfter,
  unknown,
  unreadable,
} from '../answers.js';
import type { HttpAnswer } from '../http.js';
import { parseInstant } from '../instants.js';
import { majorNumber, parseJson, readJson, word } from '../json.js';
import { canonicalId } from '../payment-id.js';

/** POST /v1/payments/refund: the document promises the 200 and a free text, nothing else. */
export function refundOutcome(answer: HttpAnswer, nowMs: number): SubmitOutcome {
  const { status } = answer;
  const body = errorBody(answer.body);
  const error = body?.code ? providerError(body.code, body.message) : httpError(answer, body?.message);
  const refused = NOT_REFUNDED.test(body?.message ?? '');

  // A page of HTML is some gateway's: it says nothing of what PicPay did.
  if (status === 200 && answer.body.trimStart().startsWith('<')) return unknown(error);
  // A 200 with the document's words of refusal says two things at once.
  if (status === 200 && !refused) return { kind: 'done', providerRefundId: null, providerStatus: 'HTTP 200' };
  if (status === 208) return unknown(providerError('same_key_still_processing', error.message));
  if (isUndecided(status)) return unknown(error, retryAfter(answer, nowMs));
  if (!isClientError(status) || body === null) return unknown(error);
  if (status === 401) return notNow('authorization_required', error);
  if (body.code === 'DUPLICATED_TRANSACTION' || status === 406) return declined(error, { mayBeOurs: true });
  if (refused || PERMANENT.has(status)) return declined(error, { mayBeOurs: false });
  // DUPLICATED_TRANSACTION is all that 400 is documented for, and its code may be left out.
  if (status === 400) return declined(error, { mayBeOurs: true });
  return unknown(error);
}

const NOT_REFUNDED = /could not be refund/i;

/** FUNDING_SOURCE_UNAVAILABLE, TRANSACTION_NOT_FOUND, INVALID_INPUT. */
const PERMANENT: ReadonlySet<number> = new Set([403, 404, 422]);

const ErrorBody = z.object({ message: z.unknown(), business_code: z.unknown() }).partial();

/** Null where the body is none of PicPay's: then it says nothing of what PicPay did. */
function errorBody(text: string): { readonly code: string; readonly message: string } | null {
  if (text.trim() === '') return { code: '', message: '' };
  const body = ErrorBody.safeParse(parseJson(text));
  if (!body.success) return null;
  const { message, business_code } = body.data;
  return {
    code: typeof business_code === 'string' ? business_code : '',
    message: typeof message === 'string' ? message : '',
  };
}

/** GET /v1/payments */
export function paymentRead(answer: HttpAnswer, payment: PaymentReference, nowMs: number): PaymentRead {
  const refusal = readRefusal(answer, nowMs);
  if (refusal) return refusal;
  if (answer.status === 404 && errorBody(answer.body)) {
    return { kind: 'notFound', detail: 'PicPay knows no such transaction' };
  }
  if (answer.status !== 200) return unreadable(`the provider answered HTTP ${answer.status}`);
  const body = readJson(PaymentBody, answer.body);
  if (!body.ok) return unreadable(body.detail);
  return snapshotOf(body.value, payment.providerPaymentId);
}

const Refund = z.object({ id: word.nullish(), value: majorNumber });

const Transaction = z.object({
  id: word,
  value: majorNumber.nullish(),
  captured_at: z.string().nullish(),
  refunds: z.array(Refund).nullish(),
});

const PaymentBody = z.object({
  id: word.nullish(),
  reference_id: word.nullish(),
  status: z.string(),
  paid_at: z.string().nullish(),
  value: majorNumber.nullish(),
  refunded_value: majorNumber.nullish(),
  transactions: z.array(Transaction).nullish(),
});

type PaymentBody = z.output<typeof PaymentBody>;
type Transaction = z.output<typeof Transaction>;

function snapshotOf(body: PaymentBody, transactionId: string): PaymentRead {
  const transactions = body.transactions ?? [];
  const ours = transactions.find((transaction) => isSame(transaction.id, transactionId));
  if (!ours && transactions.length > 0 && !isSame(body.id, transactionId)) {
    return unreadable('the answer is about another transaction');
  }
  const shown = ours ? [ours] : transactions;
  const status = STATUS.get(body.status) ?? 'unknown';
  const snapshot: PaymentSnapshot = {
    status,
    providerStatus: body.status,
    providerPaymentReference: body.reference_id || null,
    amountMinor: (ours ? ours.value : body.value) ?? null,
    amountMayBeReduced: false,
    currency: 'BRL',
    method: null,
    paidAtMs: parseInstant(body.paid_at) ?? parseInstant(ours?.captured_at),
    ...refundsOf(body, shown, transactions),
  };
  return { kind: 'found', snapshot };
}

const STATUS: ReadonlyMap<string, PaymentSnapshot['status']> = new Map([
  ['AUTHORIZED', 'notRefundable'],
  ['EXPIRED', 'notRefundable'],
  ['CANCELLED', 'notRefundable'],
  ['ERROR', 'notRefundable'],
  ['PAID', 'refundable'],
  ['PARTIALLY_REFUNDED', 'refundable'],
  ['REFUNDED', 'refunded'],
]);

const SAYS_REFUNDED: ReadonlySet<string> = new Set(['PARTIALLY_REFUNDED', 'REFUNDED']);

/** The list counts as whole only where it does not contradict the total and the status beside it. */
function refundsOf(
  body: PaymentBody,
  shown: readonly Transaction[],
  all: readonly Transaction[],
): Pick<PaymentSnapshot, 'refunds' | 'totalOnlyMinor' | 'complete'> {
  const totalMinor = body.refunded_value ?? null;
  const refunds = shown.flatMap((transaction) => transaction.refunds ?? []);
  const listed = shown.length > 0 && shown.every((transaction) => transaction.refunds);
  if (!listed || (refunds.length === 0 && totalMinor !== null && totalMinor > 0)) {
    if (totalMinor === null) return { refunds: [], complete: !SAYS_REFUNDED.has(body.status) };
    if (totalMinor === 0) return { refunds: [], complete: true };
    // With one transaction the total is its own; of several it says nothing about ours.
    return { refunds: [], totalOnlyMinor: totalMinor, complete: all.length <= 1 };
  }
  const listedMinor = all
    .flatMap((transaction) => transaction.refunds ?? [])
    .reduce((sum, { value }) => sum + value, 0);
  return {
    refunds: refunds.map(({ id, value }) => refundEntry(id || null, value, 'listed')),
    complete:
      totalMinor !== null ? listedMinor === totalMinor : listedMinor > 0 || !SAYS_REFUNDED.has(body.status),
  };
}

/** PicPay lists refunds that were made; an entry has no status of its own. */
function refundEntry(
  providerRefundId: string | null,
  amountMinor: number,
  providerStatus: string,
): ProviderRefund {
  return { providerRefundId, amountMinor, status: 'succeeded', providerStatus };
}

function isSame(id: string | null | undefined, canonical: string): boolean {
  return typeof id === 'string' && canonicalId(id) === canonical;
}
