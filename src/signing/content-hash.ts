import type { RefundReason } from '../domain/refund.js';
import { fingerprintOf } from './fingerprint.js';

/** What an approval binds: change any of it and the vote is for something else. */
export interface RefundContent {
  readonly refundId: string;
  readonly provider: string;
  readonly providerPaymentId: string;
  readonly amountMinor: number;
  readonly currency: string;
  readonly reason: RefundReason;
  readonly requestedBy: string;
  readonly policyVersion: string;
  /** From the second round of votes on: an agreement to send it once is none to send it again. */
  readonly approvalRound?: number;
}

export function contentHashOf(content: RefundContent): string {
  return fingerprintOf(content);
}
