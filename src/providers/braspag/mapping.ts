import { z } from 'zod';
import type {
  PaymentRead,
  PaymentSnapshot,
  ProviderError,
  ProviderRefundStatus,
  SubmitOutcome,
} from '../../domain/provider.js';
import {
  declined,
  httpError,
  isSuccess,
  isUndecided,
  notNow,
  providerError,
  readRefusal,
  retryAfter,
  unknown,
  unreadable,
  refusesCredentials,
} from '../answers.js';
import type { HttpAnswer } from '../http.js';
import { parseInstant } from '../instants.js';
import { integerCode, minorInteger, parseJson, readJson } from '../json.js';
import { canonicalUuid } from '../payment-id.js';

/** PUT /v2/sales/{PaymentId}/void. The HTTP status proves receipt only; the codes in the body decide. */
export function refundOutcome(answer: HttpAnswer, nowMs: number): SubmitOutcome {
  const { status } = answer;
  const json = parseJson(answer.body);
  if (isUndecided(status)) return unknown(httpError(answer), retryAfter(answer, nowMs));
  const refusal = ErrorList.safeParse(json).data?.[0];
  if (refusal && !isSuccess(status)) return outcomeOfRefusal(refusal.Code, refusal.Message ?? '');
  const verdict = Verdict.safeParse(json);
  if (verdict.success) return outcomeOfVerdict(verdict.data, answer);
  if (refusesCredentials(answer)) return notNow('authorization_required', httpError(answer));
  return unknown(httpError(answer));
}

const optionalText = z.string().nullish().catch(null);

const Verdict = z.object({
  Status: integerCode.nullish().catch(null),
  ReasonCode: integerCode.nullish().catch(null),
  ReasonMessage: optionalText,
  ProviderReturnMessage: optionalText,
});

function outcomeOfVerdict(verdict: z.output<typeof Verdict>, answer: HttpAnswer): SubmitOutcome {
  const { Status, ReasonCode, ReasonMessage, ProviderReturnMessage } = verdict;
  const said = [ReasonMessage, ProviderReturnMessage].filter(Boolean).join(' / ');
  const error = ReasonCode == null ? httpError(answer, said) : providerError(String(ReasonCode), said);
  const saysNoBalance = NO_BALANCE.test(said);
  if (isAccepted(Status, ReasonCode)) {
    // A refusal in words beside a code of acceptance, or in an HTTP status, contradicts itself.
    if (saysNoBalance || !isSuccess(answer.status)) return unknown(error);
    return {
      kind: 'accepted',
      providerRefundId: null,
      providerStatus: `Status ${Status}, ReasonCode ${ReasonCode}`,
    };
  }
  if (saysNoBalance || ReasonCode === 2) return notNow('insufficient_balance', error);
  if (ReasonCode != null && DECLINED_REASONS.has(ReasonCode)) {
    // "Invalid amount" is also what a refund beyond the rest is told.
    return declined(error, { mayBeOurs: ReasonCode === 19 });
  }
  return unknown(error);
}

const NO_BALANCE = /insufficient balance for refund/i;

/** 8 Scheduled and 9 Waiting; 0 Successful only beside a status that fits: 2 and 12 requested, 10 and 11 done. */
function isAccepted(status: number | null | undefined, reasonCode: number | null | undefined): boolean {
  if (reasonCode === 8 || reasonCode === 9) return true;
  return reasonCode === 0 && (status === 2 || status === 12 || status === 10 || status === 11);
}

/** 5 InvalidTransactionType, 7 Denied, 19 InvalidAmount, 24 PaymentMethodIsNotEnabled. */
const DECLINED_REASONS: ReadonlySet<number> = new Set([5, 7, 19, 24]);

const ErrorList = z.array(z.object({ Code: integerCode, Message: optionalText })).min(1);

function outcomeOfRefusal(code: number, message: string): SubmitOutcome {
  const error: ProviderError = providerError(String(code), message);
  if (NO_BALANCE.test(message)) return notNow('insufficient_balance', error);
  if (CONFIGURATION.has(code)) return notNow('authorization_required', error);
  if (code === 307 || code === 310 || code === 311) return declined(error, { mayBeOurs: false });
  // "Not available to void" and "to refund" are also said of what is refunded already.
  if (code === 309 || code === 312) return declined(error, { mayBeOurs: true });
  return unknown(error);
}

/** Merchant id or key missing, wrong or blocked; 120 and 301: the address is not allowed. */
const CONFIGURATION: ReadonlySet<number> = new Set([101, 114, 115, 116, 120, 131, 132, 301, 306]);

/** GET /v2/sales/{PaymentId} */
export function paymentRead(answer: HttpAnswer, providerPaymentId: string, nowMs: number): PaymentRead {
  const refusal = readRefusal(answer, nowMs);
  if (refusal) return refusal;
  const code = ErrorList.safeParse(parseJson(answer.body)).data?.[0]?.Code;
  if (code !== undefined && CONFIGURATION.has(code)) {
    const detail = `the provider answered with code ${code}`;
    return { kind: 'unavailable', reason: 'authorization_required', retryAfterMs: null, detail };
  }
  if (code === 307 || (answer.status === 404 && isOwnBody(answer.body))) {
    return { kind: 'notFound', detail: 'Braspag knows no such sale' };
  }
  if (answer.status !== 200) return unreadable(`the provider answered HTTP ${answer.status}`);
  const sale = readJson(Sale, answer.body);
  if (!sale.ok) return unreadable(sale.detail);
  const { Payment } = sale.value;
  if (canonicalUuid(Payment.PaymentId) !== providerPaymentId) {
    return unreadable('the answer is about another payment');
  }
  return { kind: 'found', snapshot: snapshotOf(Payment) };
}

/** The gateway answers "no such sale" with an empty body or with JSON: a page of HTML is somebody else's. */
function isOwnBody(body: string): boolean {
  return body.trim() === '' || parseJson(body) !== undefined;
}

const Sale = z.object({
  Payment: z.object({
    PaymentId: z.string(),
    Amount: minorInteger.nullish(),
    Status: integerCode,
    Type: z.string().nullish(),
    Currency: z.string().nullish(),
    CapturedDate: z.string().nullish(),
    ReceivedDate: z.string().nullish(),
    VoidedAmount: minorInteger.nullish(),
    Refunds: z.array(z.object({ Amount: minorInteger, Status: integerCode })).nullish(),
  }),
});

type SalePayment = z.output<typeof Sale>['Payment'];

function snapshotOf(payment: SalePayment): PaymentSnapshot {
  return {
    status: PAYMENT_STATUS.get(payment.Status) ?? 'unknown',
    providerStatus: String(payment.Status),
    providerPaymentReference: null,
    amountMinor: payment.Amount ?? null,
    amountMayBeReduced: false,
    currency: payment.Currency?.toUpperCase() || 'BRL',
    method: /card$/i.test(payment.Type ?? '') ? 'card' : null,
    paidAtMs: parseInstant(payment.CapturedDate) ?? parseInstant(payment.ReceivedDate),
    ...refundsOf(payment),
  };
}

/** 2 paid; 10 voided and 11 refunded whole; a partial refund leaves 2, so that the list alone tells of it. */
const PAYMENT_STATUS: ReadonlyMap<number, PaymentSnapshot['status']> = new Map([
  [0, 'notRefundable'],
  [1, 'notRefundable'],
  [2, 'refundable'],
  [3, 'notRefundable'],
  [10, 'refunded'],
  [11, 'refunded'],
  [12, 'notRefundable'],
  [13, 'notRefundable'],
  [20, 'notRefundable'],
]);

/** 0 the acquirer was not reached: landed or not; 1 and 2 scheduled (Pix, card); 3 done; 4 denied. */
const REFUND_STATUS: ReadonlyMap<number, ProviderRefundStatus> = new Map([
  [0, 'unclear'],
  [1, 'processing'],
  [2, 'processing'],
  [3, 'succeeded'],
  [4, 'rejected'],
]);

function refundsOf(payment: SalePayment): Pick<PaymentSnapshot, 'refunds' | 'totalOnlyMinor' | 'complete'> {
  const isRefunded = PAYMENT_STATUS.get(payment.Status) === 'refunded';
  // What left according to the totals, where the answer has any.
  const goneMinor = Math.max(payment.VoidedAmount ?? 0, isRefunded ? (payment.Amount ?? 0) : 0);
  if (!payment.Refunds) {
    if (goneMinor > 0) return { refunds: [], totalOnlyMinor: goneMinor, complete: true };
    return { refunds: [], complete: !isRefunded };
  }
  const refunds = payment.Refunds.map(({ Amount, Status }) => ({
    providerRefundId: null,
    amountMinor: Amount,
    status: REFUND_STATUS.get(Status) ?? ('unknown' as const),
    providerStatus: `Refunds.Status ${Status}`,
  }));
  const doneMinor = refunds.reduce(
    (sum, entry) => sum + (entry.status === 'succeeded' ? entry.amountMinor : 0),
    0,
  );
  return { refunds, complete: goneMinor <= doneMinor };
}

const Webhook = z.object({ PaymentId: z.string().nullish() });

/** The notification has no amount and no status: it only names the payment to read. */
export function webhookPaymentId(
  rawBody: string,
): { kind: 'hint'; providerPaymentId: string | null } | { kind: 'malformed'; detail: string } {
  const body = readJson(Webhook, rawBody);
  if (!body.ok) return { kind: 'malformed', detail: body.detail };
  return { kind: 'hint', providerPaymentId: canonicalUuid(body.value.PaymentId ?? '') };
}
