/** The words of the saga: what it remembers, what it sees, what it may ask for. */
import type { FailureReason, RefundStatus } from './refund.js';

/** What admission fixed for the whole run: the workflow reads neither clock zone, environment nor policy. */
export interface SagaTerms {
  readonly provider: string;
  readonly paymentId: string;
  readonly amountMinor: number;
  readonly currency: string;
  /** One attempt a payment at a time: the provider has no idempotency key. */
  readonly needsLane: boolean;
  /** The same key may be sent again while the outcome is unclear. */
  readonly idempotentSubmit: boolean;
  /** The window's own end, for people who look; null where no window applies. */
  readonly deadlineMs: number | null;
  /** The last instant for a new submit; null where no window applies. */
  readonly submitBeforeMs: number | null;
  readonly quietMs: number;
  readonly pollMs: number;
  readonly pollMaxMs: number;
  readonly retryMaxMs: number;
  readonly insufficientBalanceWaitMs: number;
  readonly providerUnavailableWaitMs: number;
  readonly processingReviewAfterMs: number;
  readonly unknownReviewAfterMs: number;
  /** What a webhook tells of is read, and settled, within the workflow task. Absent in a run that older code admitted. */
  readonly confirmsQuickly?: true;
  /** Absent in a run that older code admitted: it reminds of nothing, as it did then. */
  readonly reminders?: { readonly everyMs: number; readonly escalateAfterMs: number };
}

/** How a refund's approval stands, as the ledger has it; `version` is the refund's, and the higher one is newer. */
export type ApprovalStanding =
  | ApprovalWait
  /** The last vote is in. */
  | { readonly state: 'approved'; readonly version: number }
  /** Something that the provider shows must be looked at first. */
  | { readonly state: 'review'; readonly version: number }
  | { readonly state: 'closed'; readonly version: number; readonly status: RefundStatus };

export interface ApprovalWait {
  readonly state: 'waiting';
  readonly version: number;
  /** 1 for the first; a resend that a person ordered opens the next. */
  readonly round: number;
  readonly required: number;
  readonly missing: number;
  readonly requestedAtMs: number;
  /** The policy's end or the window's last safe instant. */
  readonly expiresAtMs: number;
}

/** What people are told while a refund waits. */
export type Reminder =
  | { readonly kind: 'reminder'; readonly round: number; readonly number: number }
  | { readonly kind: 'escalation'; readonly round: number }
  | { readonly kind: 'windowClosing'; readonly daysLeft: number };

export type Stage =
  | 'admitting'
  | 'approving'
  | 'waiting'
  | 'submitting'
  | 'resolving'
  | 'confirming'
  | 'review'
  | 'closing'
  | 'ended';

/** Why nothing has been sent yet. */
export type WaitReason =
  'queued' | 'insufficient_balance' | 'provider_unavailable' | 'authorization_required';

export interface SagaState {
  readonly stage: Stage;
  readonly terms: SagaTerms | null;
  /** The last claimed attempt, 0 before the first. */
  readonly attempt: number;
  /** When the first bytes of that attempt may have left; null while none did. */
  readonly firstSentAtMs: number | null;
  /** The provider refused a repeat, and only reading tells whether an earlier sending landed. */
  readonly declined: boolean;
  /** Resends after proven absence: one is automatic, a second is a person's decision. */
  readonly resends: number;
  readonly wait: { readonly reason: WaitReason; readonly sinceMs: number } | null;
  /** Every wait since an attempt was last under way: going from one to another and back restarts no bound. */
  readonly waits: Readonly<
    Partial<Record<WaitReason, { readonly sinceMs: number; readonly rounds: number }>>
  >;
  /** When the present stage began; its bounds count from here. */
  readonly stageSinceMs: number;
  /** Pauses taken in the present stage or wait: the next is longer. */
  readonly round: number;
  readonly resendAfterMs: number | null;
  /** How often the ledger refused to close: its record and this one disagree. */
  readonly refusals: number;
  /** What it waits for while it is approving, and what people were told in that round. */
  readonly approval?: {
    readonly wait: ApprovalWait;
    readonly reminders: number;
    readonly escalated: boolean;
    /** Told by a remote step: the ledger is asked soon. */
    readonly isHearsay?: true;
  };
  /** The last warning that the window closes: so many days before. */
  readonly warnedDaysLeft?: number;
}

export type SubmitResult =
  | { readonly kind: 'done' | 'accepted'; readonly attempt: number }
  /** `resolveFirst`: an earlier sending may be why it was declined. */
  | { readonly kind: 'declined'; readonly attempt: number; readonly resolveFirst: boolean }
  | {
      readonly kind: 'notNow';
      readonly attempt: number;
      readonly reason: Exclude<WaitReason, 'queued'>;
      readonly retryAfterMs: number | null;
    }
  | {
      readonly kind: 'unknown';
      readonly attempt: number;
      readonly firstSentAtMs: number;
      readonly resendAfterMs: number | null;
    }
  /** Looked at again just before the call, the refund breaks a rule: nothing was sent. */
  | { readonly kind: 'ineligible'; readonly attempt: number; readonly code: FailureReason }
  /** The refund waits for people, is in review or has ended: nothing was read or sent. */
  | { readonly kind: 'notPending'; readonly attempt: number };

export type LookResult =
  | { readonly kind: 'landed' | 'rejected' | 'processing' }
  /** A documented word that leaves it open, or one that no document lists. */
  | { readonly kind: 'unclear' | 'unknownStatus'; readonly providerStatus: string }
  | {
      readonly kind: 'absent';
      readonly proven: boolean;
      readonly quietUntilMs: number;
      readonly accepted: boolean;
    }
  | { readonly kind: 'cannotTell' | 'otherAmount'; readonly why: string }
  | { readonly kind: 'unavailable'; readonly retryAfterMs: number | null }
  /** The ledger holds no open attempt: nothing was ever sent under this number. */
  | { readonly kind: 'notSent'; readonly attempt: number }
  /** People are asked, or have answered: a run that was reset, resumed too early or lied to hears here that it must ask. */
  | { readonly kind: 'awaitsVotes' }
  /** Whatever the provider shows, only a person ends this review. */
  | { readonly kind: 'awaitsPerson' };

/** What became of a person's resolution of a review. */
export type Resolved =
  | { readonly kind: 'closed'; readonly status: RefundStatus }
  /** To be sent again, under the next number. */
  | { readonly kind: 'resend'; readonly attempt: number; readonly approval?: ApprovalWait }
  /** The ledger or the provider says otherwise, or could not be asked: the review goes on. */
  | { readonly kind: 'refused' };

export type Observation =
  | { readonly kind: 'started' }
  /** `holdsLane`: it was free, and was taken with the admission. */
  | {
      readonly kind: 'admitted';
      readonly terms: SagaTerms;
      readonly approval?: ApprovalWait;
      readonly holdsLane?: true;
    }
  | { readonly kind: 'notAdmitted' }
  /** An earlier run admitted it and is gone: the ledger says how far it came. */
  | {
      readonly kind: 'resumed';
      readonly terms: SagaTerms;
      readonly attempt: number;
      readonly firstSentAtMs: number | null;
      readonly resends: number;
      readonly inReview: boolean;
      readonly approval?: ApprovalWait;
    }
  /** People voted, extended or canceled, or the time for it is over. */
  | { readonly kind: 'approval'; readonly standing: ApprovalStanding }
  /** The same, because this run asked. */
  | { readonly kind: 'approvalSeen'; readonly standing: ApprovalStanding }
  /** With how the approval stands, where the step told it. */
  | { readonly kind: 'reminded'; readonly standing?: ApprovalStanding }
  /** The provider may show something of an earlier sending. */
  | { readonly kind: 'hinted' }
  | { readonly kind: 'laneTaken' }
  | { readonly kind: 'laneBusy' }
  | { readonly kind: 'submitted'; readonly result: SubmitResult }
  /** The call's worker died: the ledger alone knows how far it came. */
  | { readonly kind: 'callLost' }
  | { readonly kind: 'looked'; readonly result: LookResult }
  | { readonly kind: 'paused' }
  | { readonly kind: 'reviewed' }
  | { readonly kind: 'resolutionAsked' }
  | { readonly kind: 'resolved'; readonly result: Resolved }
  /** The ledger carried the closing step out, or refused it because its own record says otherwise. */
  | { readonly kind: 'closed'; readonly status: RefundStatus }
  | { readonly kind: 'closingRefused' };

export type Step =
  | { readonly kind: 'admit' }
  /** Ends the wait for votes; the ledger says whether its time is over indeed. */
  | { readonly kind: 'expire' }
  | { readonly kind: 'remind'; readonly of: Reminder }
  /** Asks the ledger how the approval stands. */
  | { readonly kind: 'seeApproval' }
  | { readonly kind: 'takeLane' }
  /** Claims the attempt and calls; where it is claimed already, only a provider with idempotency keys is called again. */
  | { readonly kind: 'submit'; readonly attempt: number }
  | { readonly kind: 'look' }
  /** Reads on and on, ever more rarely, until something is decided or `untilMs`; a hint ends it. */
  | { readonly kind: 'watch'; readonly untilMs: number }
  | { readonly kind: 'pause'; readonly ms: number; readonly why: string }
  | { readonly kind: 'settle' }
  | { readonly kind: 'compensate'; readonly reason: FailureReason }
  | { readonly kind: 'review'; readonly why: string }
  /** Carries out what a person decided, after one more reading. */
  | { readonly kind: 'resolve' }
  | { readonly kind: 'end'; readonly status: RefundStatus | 'refused' };

export interface Decision {
  readonly state: SagaState;
  readonly step: Step;
}
