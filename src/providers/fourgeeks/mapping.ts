import { z } from 'zod';
import { assertNever } from '../../domain/errors.js';
import type { PaymentSnapshot, ProviderRefundStatus, SubmitOutcome } from '../../domain/provider.js';
import type { RefundReason } from '../../domain/refund.js';
import {
  declined,
  httpError,
  isClientError,
  isSuccess,
  isUndecided,
  notNow,
  providerError,
  retryAfter,
  unknown,
  refusesCredentials,
} from '../answers.js';
import type { HttpAnswer } from '../http.js';
import { majorWithPoint, parseJson, readJson, word } from '../json.js';
import { canonicalId } from '../payment-id.js';

/** Charges are named with and without `ch_`; the API wants them without. */
export function canonicalChargeId(id: string): string | null {
  return canonicalId(id.replace(/^ch_/, ''));
}

/** The document has three words for a reason. */
export function reasonWord(reason: RefundReason): 'duplicate' | 'fraudulent' | 'requested_by_customer' {
  switch (reason) {
    case 'duplicate':
    case 'fraudulent':
      return reason;
    case 'requested_by_customer':
    case 'bank_error':
    case 'pix_withdrawal':
      return 'requested_by_customer';
    default:
      return assertNever(reason);
  }
}

/** POST /v1/refunds/. Errors are told by the text of `content` and the HTTP status. */
export function refundOutcome(
  answer: HttpAnswer,
  asked: { readonly chargeId: string; readonly amountMinor: number },
  nowMs: number,
): SubmitOutcome {
  const { status } = answer;
  if (isSuccess(status)) return created(answer, asked);
  const body = errorBody(answer.body);
  const error = httpError(answer, body?.content);
  if (isUndecided(status)) return unknown(error, retryAfter(answer, nowMs));
  if (refusesCredentials(answer)) return notNow('authorization_required', error);
  if (!isClientError(status) || body === null) return unknown(error);
  const { content } = body;
  if (/already refunded|greater than the amount/i.test(content)) return declined(error, { mayBeOurs: true });
  if (status === 409 || /already paid to your account/i.test(content)) {
    const message = `4Geeks has paid this charge out, which ends refunds there: ${content}`;
    return declined(providerError('already_paid_out', message), { mayBeOurs: false });
  }
  if (status === 404 || /doesn['’]t exist|reason field is required/i.test(content)) {
    return declined(error, { mayBeOurs: false });
  }
  return unknown(error);
}

/** One refund as POST and the list show it. */
export const RefundRow = z.object({
  id: word.nullish(),
  charge_id: word,
  amount: majorWithPoint,
  currency: z.string().nullish(),
  status: z.string(),
});

/** "Done" needs the whole answer to fit: a misread amount would be wrong by a hundred. */
function created(
  answer: HttpAnswer,
  asked: { readonly chargeId: string; readonly amountMinor: number },
): SubmitOutcome {
  const body = readJson(RefundRow, answer.body);
  if (!body.ok) return unknown(httpError(answer, body.detail));
  const { id, charge_id, amount, status } = body.value;
  if (canonicalChargeId(charge_id) !== asked.chargeId) {
    return unknown(providerError('other_charge', 'the answer is about another charge'));
  }
  if (amount !== asked.amountMinor) {
    return unknown(
      providerError('other_amount', `the answer shows ${amount} where ${asked.amountMinor} was asked`),
    );
  }
  const said = { providerRefundId: canonicalRefundId(id), providerStatus: status };
  const meaning = refundStatus(status);
  if (meaning === 'succeeded') return { kind: 'done', ...said };
  if (meaning === 'processing') return { kind: 'accepted', ...said };
  return unknown(providerError(status, 'a status that no document lists'));
}

export function canonicalRefundId(id: string | null | undefined): string | null {
  return id?.replace(/^re_/, '') || null;
}

export function refundStatus(status: string): ProviderRefundStatus {
  switch (status) {
    case 'succeeded':
      return 'succeeded';
    case 'pending':
    case 'processing':
      return 'processing';
    default:
      return 'unknown';
  }
}

/** The document says of a refunded charge that it is marked as such, in whole or in part. */
export const CHARGE_STATUS: ReadonlyMap<string, PaymentSnapshot['status']> = new Map([
  ['succeeded', 'refundable'],
  ['partially_refunded', 'refundable'],
  ['refunded', 'refunded'],
  ['processing', 'notRefundable'],
  ['cancelled', 'notRefundable'],
  ['failed', 'notRefundable'],
  ['blocked', 'notRefundable'],
]);

const ErrorBody = z.object({ content: z.string().optional(), message: z.unknown().optional() });
const WrappedError = z.object({ content: z.string() });

/** Null where the body is none of 4Geeks': then it says nothing of what 4Geeks did. Some errors are wrapped in `message`. */
export function errorBody(text: string): { readonly content: string } | null {
  if (text.trim() === '') return { content: '' };
  const body = ErrorBody.safeParse(parseJson(text)).data;
  if (!body) return null;
  if (body.content !== undefined) return { content: body.content };
  if (typeof body.message === 'string') return { content: body.message };
  return { content: WrappedError.safeParse(body.message).data?.content ?? '' };
}
