import type { BrokenRule } from '../src/domain/eligibility.js';
import type { EvidenceSource, FailureReason, RefundReason, RefundStatus } from '../src/domain/refund.js';
import type {
  ApprovalStanding,
  ApprovalWait,
  LookResult,
  Reminder,
  SagaTerms,
  SubmitResult,
} from '../src/domain/saga-state.js';
import type { VoteDecision, VoteRefusalCode } from '../src/domain/vote.js';
import type { Envelope } from '../workflows/messages.js';

/** Steps in the ledger: local, short, safe to repeat. */
export interface LedgerActivities {
  admit(start: Envelope<RefundStart> | Envelope<RefundResume>): Promise<AdmitResult>;
  takeLane(input: {
    refundId: string;
  }): Promise<{ kind: 'taken' } | { kind: 'busy'; behindRefundId: string }>;
  /**
   * One reading of a few seconds at most, and the settlement where it shows that all is done. `unavailable`: that was too
   * short, and the provider's own queue has the time.
   */
  confirm(input: { refundId: string; source: EvidenceSource }): Promise<LookResult | ClosedResult>;
  settle(input: { refundId: string }): Promise<ClosingResult>;
  compensate(input: { refundId: string; reason: FailureReason }): Promise<ClosingResult>;
  review(input: { refundId: string; why: string }): Promise<void>;
  /** Ends the wait for votes, where its time is over by the later of the two clocks. */
  expire(input: { refundId: string; nowMs: number }): Promise<ExpiryResult>;
  /** How the approval stands, should the news of it be lost; older histories hold nothing here. */
  remind(input: { refundId: string; of: Reminder; nowMs: number }): Promise<ApprovalStanding | undefined>;
  /** Changes nothing. */
  approvalStanding(input: { refundId: string }): Promise<ApprovalStanding>;
}

/**
 * What a person asks of a refund, each message with the front door's proof: steps in the ledger, remote, because a
 * message may come beside a ledger step of the refund's own. `nowMs` is the workflow's clock.
 */
export interface MessageActivities {
  castVote(input: Received<VoteMessage>): Promise<Handled<VoteVerdict>>;
  extendApproval(input: Received<ExtensionMessage>): Promise<Handled<ExtensionVerdict>>;
  cancelRefund(input: Received<CancelMessage>): Promise<Handled<CancelVerdict>>;
}

export interface Received<Message> {
  /** Whose workflow it came to. */
  readonly refundId: string;
  readonly message: Envelope<Message>;
  readonly nowMs: number;
}

/** A proof is over all of it: no message is good for another refund, another person, or twice. */
export interface PersonsMessage {
  readonly refundId: string;
  readonly actor: string;
  readonly nonce: string;
  readonly requestId: string;
  /** Of the refund as the person saw it. */
  readonly contentHash: string;
}

export interface VoteMessage extends PersonsMessage {
  readonly decision: VoteDecision;
  readonly comment: string | null;
}

export interface ExtensionMessage extends PersonsMessage {
  readonly expiresAtMs: number;
}

export interface CancelMessage extends PersonsMessage {
  readonly reason: string | null;
}

/** Null standing: the message is not the front door's, and changed nothing. */
export interface Handled<Verdict> {
  readonly verdict: Verdict | { readonly kind: 'unproven' };
  readonly standing: ApprovalStanding | null;
  readonly wakeRefundId: string | null;
}

export type VoteVerdict = Done | Refused<VoteRefusalCode>;
export type ExtensionVerdict =
  Done | Refused<'already_final' | 'approval_conflict' | 'extension_beyond_window' | 'not_later'>;
export type CancelVerdict = Done | Refused<'not_cancelable'>;

/** `repeated`: it had been done before. */
interface Done {
  readonly kind: 'done' | 'repeated';
}

interface Refused<Code> {
  readonly kind: 'refused';
  readonly code: Code;
  readonly detail: string;
}

export interface ExpiryResult {
  readonly standing: ApprovalStanding;
  readonly wakeRefundId: string | null;
}

/** Steps at the provider: remote, on its own task queue. `nowMs` is the workflow's clock. */
export interface ProviderActivities {
  submit(input: { refundId: string; attempt: number; nowMs: number }): Promise<SubmitActivityResult>;
  /** `inReview`: the refund's run believes it to be, and hears where the ledger has gone on. */
  look(input: { refundId: string; source: EvidenceSource; inReview?: boolean }): Promise<LookResult>;
  /** Looks again and again by its retries; ends when something is decided, or at `untilMs`. */
  watch(input: { refundId: string; untilMs: number; inReview?: boolean }): Promise<LookResult>;
  /** Reads once more, then carries out a person's resolution of a review, unless what is shown contradicts it. */
  resolve(input: {
    refundId: string;
    resolution: Resolution;
    /** The front door's, over the resolution. */
    proof?: string;
  }): Promise<ResolveActivityResult>;
}

/** What a person decided about a refund in review. */
export interface Resolution extends PersonsMessage {
  /** One a decision: a repeat of the activity recognises its own. */
  readonly id: string;
  /** Of the refund as the person saw it: what happened since makes it another review. */
  readonly refundVersion: number;
  readonly outcome: 'succeeded' | 'failed' | 'resend';
  /** What the decision rests on, in the person's words or named facts. */
  readonly evidence: string | Readonly<Record<string, string>>;
}

export type ResolutionVerdict =
  | { readonly kind: 'closed'; readonly status: RefundStatus }
  /** To be sent again; `attempt` was the last number. */
  | { readonly kind: 'resend'; readonly attempt: number; readonly approval?: ApprovalWait }
  | { readonly kind: 'contradicted'; readonly why: string }
  | { readonly kind: 'providerUnavailable'; readonly detail: string }
  | { readonly kind: 'notInReview' }
  /** The requester may not decide about their own refund. */
  | { readonly kind: 'ownRefund' }
  /** Not from the front door: nothing was decided. */
  | { readonly kind: 'unproven' };

export interface ResolveActivityResult {
  readonly verdict: ResolutionVerdict;
  readonly wakeRefundId: string | null;
}

export interface SubmitActivityResult {
  readonly result: SubmitResult;
  /** Who waits for the lane that this gave back. */
  readonly wakeRefundId: string | null;
}

export type ClosingResult = ClosedResult | { readonly kind: 'refused'; readonly why: string };

export interface ClosedResult {
  readonly kind: 'closed';
  readonly status: RefundStatus;
  readonly wakeRefundId: string | null;
}

/** An open refund without a process gets one that goes on from the ledger, and reads nothing else. */
export interface RefundResume {
  readonly refundId: string;
  readonly resume: true;
}

/** What the front door asks for: validated, with everything that admission needs and nothing secret. */
export interface RefundStart {
  readonly refundId: string;
  readonly actor: string;
  readonly idempotencyKey: string;
  /** Over the validated body: the same key with another one is refused. */
  readonly fingerprint: string;
  readonly requestId: string;
  /** One an HTTP request, also where a client repeats its request id: tells the first asker from the others. */
  readonly askId: string;
  /** The front door knows the provider's credentials: a worker that lacks them must not refuse for good. */
  readonly providerEnabled: boolean;
  /** An admission that begins later stores nothing. */
  readonly admitUntilMs: number;
  readonly request: RefundRequest;
}

export interface RefundRequest {
  /** Ours, or the provider's own id (canonical): exactly one of the two. */
  readonly payment:
    { readonly paymentId: string } | { readonly provider: string; readonly providerPaymentId: string };
  /** Null: all that is refundable. */
  readonly amountMinor: number | null;
  readonly currency: string | null;
  readonly reason: RefundReason;
  readonly description: string | null;
  readonly reference: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly expectedRefundableMinor: number | null;
}

/** The first verdict, as the front door answers it. */
export type AdmissionVerdict =
  | { readonly kind: 'admitted'; readonly refundId: string; readonly firstAskId: string }
  | { readonly kind: 'refused'; readonly broken: readonly BrokenRule[]; readonly firstAskId: string }
  /** An earlier run decided this key: the ledger has its answer. */
  | { readonly kind: 'replayed' }
  | { readonly kind: 'keyReused' }
  | { readonly kind: 'paymentNotFound'; readonly detail: string }
  | { readonly kind: 'duplicateReference'; readonly detail: string }
  | { readonly kind: 'providerUnavailable'; readonly detail: string }
  /** `admitUntilMs` passed before the ledger could be asked. */
  | { readonly kind: 'tooLate' }
  /** Not from the front door, or from one whose key the workers do not know: nothing is stored. */
  | { readonly kind: 'unproven' };

export type AdmitResult =
  | {
      readonly verdict: Extract<AdmissionVerdict, { kind: 'admitted' }>;
      readonly terms: SagaTerms;
      /** Votes are waited for first. */
      readonly approval?: ApprovalWait;
      /** Nobody else had the payment's lane. */
      readonly holdsLane?: true;
    }
  /** This very refund is open and its earlier run is gone (reset, lost): this run goes on from the ledger. */
  | { readonly verdict: Extract<AdmissionVerdict, { kind: 'replayed' }>; readonly resume: Resume }
  /** It has ended already. */
  | { readonly verdict: Extract<AdmissionVerdict, { kind: 'replayed' }>; readonly status: RefundStatus }
  | { readonly verdict: Exclude<AdmissionVerdict, { kind: 'admitted' }> };

/** Where the ledger says that an open refund stands. */
export interface Resume {
  readonly terms: SagaTerms;
  /** The last claimed attempt. */
  readonly attempt: number;
  /** When that attempt may have left first; null where none is open. */
  readonly firstSentAtMs: number | null;
  /** Resends that proven absence has already led to. */
  readonly resends: number;
  readonly inReview: boolean;
  readonly approval?: ApprovalWait;
}

/** Steps of a reconciliation in the ledger: local, short, safe to repeat. */
export interface ReconciliationSteps {
  /** The run has its row, and these providers can be read. */
  beginReconciliation(input: {
    reconciliationId: string;
  }): Promise<{ readonly providers: readonly string[]; readonly quietMs: number }>;
  /** The next payments to read, none after the last; `after` is the last one of the page before, '' for the first. */
  nextPayments(input: {
    provider: string;
    pass: 'all' | 'doubtful';
    after: string;
  }): Promise<readonly string[]>;
  /** Absolute numbers; `finished` ends the run. */
  noteReconciled(input: {
    reconciliationId: string;
    paymentsRead: number;
    paymentsUnreadable: number;
    finished: boolean;
  }): Promise<void>;
}

/** Readings for a reconciliation: remote, on the provider's own task queue. */
export interface ReconciliationReadings {
  /** Reads a few payments at a time and writes what follows. */
  reconcilePayments(input: {
    reconciliationId: string;
    provider: string;
    paymentIds: readonly string[];
  }): Promise<PaymentsReconciled>;
  /** Fails, to be tried again, while the payment can't be read. */
  reconcilePayment(input: PaymentReconciliationStart): Promise<PaymentsReconciled>;
}

export interface PaymentsReconciled {
  readonly read: number;
  readonly unreadable: number;
  /** Refunds whose open attempts were decided, and such as wait unsent while less may be left for them. */
  readonly hintRefundIds: readonly string[];
  readonly retryRefundIds: readonly string[];
  /** In how long another reading can decide what was put in doubt; null: nothing was. */
  readonly readAgainInMs: number | null;
}

export interface ReconciliationStart {
  /** Null: a scheduled run, which has no row yet. */
  readonly reconciliationId: string | null;
}

export interface PaymentReconciliationStart {
  readonly paymentId: string;
  readonly provider: string;
}

/** Steps in the ledger beside an outbound delivery: local, short, safe to repeat. */
export interface DeliverySteps {
  /** The oldest message of the line that is still to be delivered; null: none is left. */
  nextDelivery(line: DeliveryLine): Promise<{ deliveryId: string } | null>;
}

/** Attempts at other people's endpoints: remote, on their own task queue. */
export interface DeliveryActivities {
  /** One attempt; a failure says when the next one is due. Ends without a failure when nothing waits any more. */
  deliver(input: { deliveryId: string }): Promise<void>;
}

/** The messages of one refund to one endpoint, which go one after the other; a ping is a line of its own. */
export interface DeliveryLine {
  readonly endpointId: string;
  readonly subject: string;
}
