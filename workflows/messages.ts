import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type {
  AdmissionVerdict,
  CancelMessage,
  CancelVerdict,
  ExtensionMessage,
  ExtensionVerdict,
  Handled,
  PaymentReconciliationStart,
  ReconciliationStart,
  RefundResume,
  RefundStart,
  Resolution,
  ResolutionVerdict,
  VoteMessage,
  VoteVerdict,
} from '../activities/interface.js';
import { REFUND_WORKFLOW_ID_PREFIX } from '../src/domain/refund.js';

/** Every message travels in an envelope; `proof` is the front door's signature where one is required. */
export interface Envelope<T> {
  readonly body: T;
  readonly proof?: string;
}

export const REFUND_WORKFLOW_TYPE = 'refund';
export const REFUND_TASK_QUEUE = 'estorno';

const PROVIDER_TASK_QUEUE_PREFIX = 'estorno/provider/';

/** Provider calls have a queue a provider, so that a slow one delays nobody else. */
export function providerTaskQueue(provider: string): string {
  return PROVIDER_TASK_QUEUE_PREFIX + provider;
}

export function refundWorkflowId(refundId: string): string {
  return REFUND_WORKFLOW_ID_PREFIX + refundId;
}

/** The inverse of `refundWorkflowId`; null for ids of other workflows. */
export function refundIdOf(workflowId: string): string | null {
  return workflowId.startsWith(REFUND_WORKFLOW_ID_PREFIX)
    ? workflowId.slice(REFUND_WORKFLOW_ID_PREFIX.length)
    : null;
}

/** Waits for the first verdict on the refund; the argument is the fingerprint of the asking request's body. */
export const admissionUpdate = defineUpdate<AdmissionVerdict, [Envelope<{ fingerprint: string }>]>(
  'admission',
);

/** Something may have happened at the provider: look there soon. Carries nothing that is believed. */
export const hintSignal = defineSignal<[Envelope<{ source: 'webhook' | 'refresh' }>]>('hint');

/** What stood in the way (another refund's lane, a provider that was down) may be gone: try again. */
export const retrySignal = defineSignal<[Envelope<Record<string, never>>]>('retry');

/** A person ends the review. */
export const resolveUpdate = defineUpdate<ResolutionVerdict, [Envelope<Resolution>]>('resolve');

/** Where the refund's process stands: stage, what it waits for, since when. */
export const stageQuery = defineQuery<string>('stage');

/** A person approves or rejects. */
export const voteUpdate = defineUpdate<Verdict<VoteVerdict>, [Envelope<VoteMessage>]>('vote');

/** An operator gives people more time. */
export const extendUpdate = defineUpdate<Verdict<ExtensionVerdict>, [Envelope<ExtensionMessage>]>('extend');

/** A person ends a refund of which nothing is on its way. */
export const cancelUpdate = defineUpdate<Verdict<CancelVerdict>, [Envelope<CancelMessage>]>('cancel');

type Verdict<Of> = Handled<Of>['verdict'];

/** How a refund's workflow begins: asked for, or taken up again. */
export type Start = Envelope<RefundStart> | Envelope<RefundResume>;

export type RefundWorkflow = (start: Start) => Promise<{ status: string }>;

export const RECONCILIATION_WORKFLOW_TYPE = 'reconciliation';
export const PAYMENT_RECONCILIATION_WORKFLOW_TYPE = 'paymentReconciliation';

export function reconciliationWorkflowId(reconciliationId: string): string {
  return `reconciliation/${reconciliationId}`;
}

export function paymentReconciliationWorkflowId(paymentId: string): string {
  return `reconciliation/payment/${paymentId}`;
}

/** There may be news of the payment: read it once more, after a reading that is under way too. */
export const readAgainSignal = defineSignal<[Envelope<Record<string, never>>]>('readAgain');

export type ReconciliationWorkflow = (start: Envelope<ReconciliationStart>) => Promise<void>;
export type PaymentReconciliationWorkflow = (start: Envelope<PaymentReconciliationStart>) => Promise<void>;

/** Custom search attributes and their types; registered at start-up, set by door and workflow. */
export const SEARCH_ATTRIBUTES = {
  RefundStatus: 'KEYWORD',
  RefundProvider: 'KEYWORD',
  RefundPaymentId: 'KEYWORD',
  RefundReference: 'KEYWORD',
  RefundAmount: 'INT',
  RefundDeadline: 'DATETIME',
  RefundVotesMissing: 'INT',
  RefundApprovalUntil: 'DATETIME',
} as const;
