/** What the lab knows of a run once it is over, from whom, and what it makes of it. */
import type { RefundStatus } from '../src/domain/refund.js';
import type { ApprovalState, VoteDecision } from '../src/domain/vote.js';

export interface PaymentStory {
  readonly id: string;
  readonly provider: string;
  readonly amountMinor: number;
  readonly ledger: {
    readonly refundedMinor: number;
    readonly reservedMinor: number;
    readonly externalMinor: number;
  };
  readonly refunds: readonly RefundStory[];
  /** The provider's own book, what it hides from readers included. */
  readonly shown: readonly ShownRefund[];
  /** Faults that struck its calls: bare names for submits (`too_late_effect`: past the quiet time), `read stale_read`. */
  readonly struck: readonly string[];
}

export interface RefundStory {
  readonly id: string;
  readonly amountMinor: number;
  readonly status: RefundStatus;
  /** Of a pending, failed or reviewed one. */
  readonly reason: string | null;
  readonly money: 'reserved' | 'refunded' | 'released';
  readonly providerRefundId: string | null;
  /** How each attempt ended; null: it is open. */
  readonly attempts: readonly (string | null)[];
  /** What a person decided last; null: nobody did. */
  readonly resolved: Decision['outcome'] | null;
  /** The last round of votes; null: nobody had to agree. */
  readonly approval: { readonly state: ApprovalState; readonly isOver: boolean } | null;
}

/** A vote as the ledger holds it. */
export interface VoteStory {
  readonly refundId: string;
  readonly actor: string;
  readonly decision: VoteDecision;
  /** What was voted on: another round, another hash. */
  readonly contentHash: string;
}

/** What a person asked of a refund, again and again until it was answered. */
export interface MessageStory {
  readonly refundId: string;
  readonly actor: string;
  readonly action: VoteDecision | 'cancel' | 'extend';
  /** Of a vote. */
  readonly contentHash: string | null;
  /** Of an extension: the end that was asked for. */
  readonly expiresAtMs: number | null;
  /** Null: nothing but 503 and broken connections. */
  readonly answer: Pick<Told, 'status' | 'code'> | null;
  readonly answeredAtMs: number;
}

export interface ShownRefund {
  readonly id: string;
  readonly amountMinor: number;
  readonly status: 'pending' | 'succeeded' | 'rejected' | 'unclear';
  readonly origin: 'api' | 'panel';
  /** It was done, and is shown to nobody any more. */
  readonly hidden: boolean;
  readonly fates: readonly string[];
}

/** The service stopped a provider by itself. */
export interface Trip {
  readonly provider: string;
  readonly by: string;
  readonly why: string;
}

/** What a person decided about a review. */
export interface Decision {
  readonly refundId: string;
  readonly outcome: 'succeeded' | 'failed' | 'resend';
  /** The service's own words; empty: carried out. */
  readonly refusal: string;
}

/** What a client asked for under one key, and what it was told each time. */
export interface AskStory {
  readonly key: string;
  readonly paymentId: string;
  readonly amountMinor: number;
  readonly answers: readonly Told[];
}

export interface Told {
  readonly status: number;
  /** Of a 202. */
  readonly refundId: string | null;
  /** Of a problem. */
  readonly code: string | null;
}

export type DiscrepancyKind =
  | 'double_landing'
  | 'money_without_refund'
  | 'succeeded_without_money'
  | 'failed_with_money'
  | 'failed_without_reason'
  | 'wrong_amount'
  | 'wrong_sum'
  | 'stuck'
  | 'review_without_reason'
  | 'lost_refund'
  | 'refused_without_reason'
  | 'two_answers'
  | 'unanswered'
  | 'server_error'
  | 'stopped_without_reason'
  | 'decision_lost'
  | 'sent_without_votes'
  | 'approvals_miscounted'
  | 'vote_lost'
  | 'vote_twice'
  | 'vote_ignored'
  | 'vote_against_rules'
  | 'refusal_lost'
  | 'told_twice'
  | 'asked_by_nobody'
  | 'cancel_lost'
  | 'extension_lost'
  | 'waits_past_end'
  | 'reservation_kept'
  | 'ended_without_reason'
  | 'died'
  | 'broken_trail';

export interface Discrepancy {
  readonly kind: DiscrepancyKind;
  /** The payment, refund or key. */
  readonly subject: string;
  readonly detail: string;
}
