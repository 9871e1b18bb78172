import type { RefundReason } from './refund.js';

/** What a company decides about its refunds; how it is written is `src/policy.ts`. */
export interface Policy {
  /** 12 hex digits over the policy's content: equal policies have equal versions. */
  readonly version: string;
  readonly approval: {
    readonly rules: readonly ApprovalRule[];
    readonly expiresAfterMs: number;
    readonly remindEveryMs: number;
    readonly escalateAfterMs: number;
  };
  readonly window: {
    readonly pixDays: number;
    readonly pixWithdrawalMinutes: number;
    /** IANA name. */
    readonly timeZone: string;
    readonly safetyMinutes: number;
  };
  readonly insufficientBalanceWaitMs: number;
  readonly providerUnavailableWaitMs: number;
  readonly processingReviewAfterMs: number;
  readonly outcomeUnknownReviewAfterMs: number;
  /** Null: unlimited. */
  readonly limits: {
    readonly dailyByActorMinor: number | null;
    readonly dailyByProviderMinor: number | null;
  };
}

/** Every condition given must hold; the rule then asks for so many approvals. */
export interface ApprovalRule {
  readonly when: {
    readonly amountGteMinor?: number;
    readonly reasons?: readonly RefundReason[];
    readonly providers?: readonly string[];
    readonly requesters?: readonly string[];
  };
  readonly approvals: number;
}
