import { DateTime } from 'luxon';
import { assertNever } from './errors.js';
import type { PaymentMethod } from './payment.js';

export interface WindowPolicy {
  readonly pixDays: number;
  readonly pixWithdrawalMinutes: number;
  /** IANA name; days are counted in this zone. */
  readonly timeZone: string;
  /** New submits stop this long before the deadline. */
  readonly safetyMinutes: number;
}

export interface RefundWindow {
  /** The rule's own instant: 24:00 of the last day. */
  readonly deadlineMs: number;
  /** The last instant for a new submit. */
  readonly submitBeforeMs: number;
}

const MINUTE_MS = 60_000;

/**
 * When a refund must have been started; null where no window applies.
 * Pix: Res. BCB 103/2021, art. 41-A counts 90 days from the *date* of the original transaction; whether by calendar
 * day or by instant is not said, so day 90 in the policy's zone is the last day, whole. Pix Saque and Troco: one hour.
 * PicPay's wallet and card payments and 4Geeks' cards have no day count in their documents.
 */
export function refundWindow(
  method: PaymentMethod,
  paidAtMs: number,
  policy: WindowPolicy,
): RefundWindow | null {
  switch (method) {
    case 'pix':
      return before(endOfDay(paidAtMs, policy.pixDays, policy.timeZone), policy);
    case 'pix_withdrawal':
      return before(paidAtMs + policy.pixWithdrawalMinutes * MINUTE_MS, policy);
    case 'wallet':
    case 'card':
      return null;
    default:
      return assertNever(method);
  }
}

/**
 * The window of a payment with what its provider shows of its time: the earlier one counts, because providers cut and
 * shift theirs, and merchants mistype theirs.
 */
export function windowOfPayment(
  payment: { readonly method: PaymentMethod; readonly paidAtMs: number },
  shownPaidAtMs: number | null,
  policy: WindowPolicy,
): RefundWindow | null {
  return refundWindow(payment.method, Math.min(payment.paidAtMs, shownPaidAtMs ?? Infinity), policy);
}

/** 00:00 of the day that `nowMs` lies in, in the zone; the day's first instant where it has no midnight. */
export function startOfDayMs(nowMs: number, timeZone: string): number {
  return firstInstantMs(DateTime.fromMillis(nowMs, { zone: timeZone }));
}

function before(deadlineMs: number, policy: WindowPolicy): RefundWindow {
  return { deadlineMs, submitBeforeMs: deadlineMs - policy.safetyMinutes * MINUTE_MS };
}

/** The first instant after day `days`, counted from the payment's date in the zone: right across clock changes. */
function endOfDay(paidAtMs: number, days: number, timeZone: string): number {
  const paidOn = DateTime.fromMillis(paidAtMs, { zone: timeZone });
  return firstInstantMs(paidOn.startOf('day').plus({ days: days + 1 }));
}

/** Where clocks go back from 01:00 to midnight, it comes twice, and the day begins with the first. */
function firstInstantMs(day: DateTime): number {
  const midnight = day.startOf('day');
  const justBefore = midnight.minus(1);
  return (justBefore.day === midnight.day ? justBefore.startOf('day') : midnight).toMillis();
}
