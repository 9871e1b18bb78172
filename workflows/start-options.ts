import {
  defineSearchAttributeKey,
  TypedSearchAttributes,
  WorkflowIdConflictPolicy,
  WorkflowIdReusePolicy,
  type SearchAttributePair,
} from '@temporalio/common';
import type { PaymentReconciliationStart, ReconciliationStart } from '../activities/interface.js';
import { formatDecimal } from '../src/domain/money.js';
import {
  paymentReconciliationWorkflowId,
  reconciliationWorkflowId,
  REFUND_TASK_QUEUE,
  refundWorkflowId,
  SEARCH_ATTRIBUTES,
  type Envelope,
  type Start,
} from './messages.js';

/** What the ledger knows, for people who look at Temporal. Nothing personal, nothing that decides. */
export interface RefundHints {
  readonly provider: string;
  readonly paymentId: string | null;
  readonly reference: string | null;
  readonly amountMinor: number | null;
  readonly deadlineMs: number | null;
  readonly summary: string;
}

/** An open refund as the ledger has it. */
export interface OpenRefund {
  readonly id: string;
  readonly provider: string;
  readonly payment_id: string;
  readonly reference: string | null;
  readonly amount_minor: number;
  readonly currency: string;
  readonly refund_deadline: Date | null;
}

/** What the client takes to start it. */
export interface RefundStartOptions {
  readonly workflowId: string;
  readonly taskQueue: string;
  readonly args: [Start];
  readonly workflowIdConflictPolicy: WorkflowIdConflictPolicy;
  readonly workflowIdReusePolicy: WorkflowIdReusePolicy;
  readonly typedSearchAttributes: TypedSearchAttributes;
  readonly staticSummary: string;
  readonly staticDetails: string;
}

/** How a refund's workflow is started, whoever starts it: a running one is left as it is. */
export function refundStartOptions(start: Start, hints: RefundHints): RefundStartOptions {
  const asked =
    'resume' in start.body ? 'Taken up again from the ledger.' : `Request ${start.body.requestId}.`;
  return {
    workflowId: refundWorkflowId(start.body.refundId),
    taskQueue: REFUND_TASK_QUEUE,
    args: [start],
    workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
    // A closed run that never admitted must not block its key: the ledger's row is the guard.
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
    typedSearchAttributes: new TypedSearchAttributes(searchAttributes(hints)),
    staticSummary: hints.summary,
    staticDetails: asked,
  };
}

/** For an open refund whose process may be lost: the run goes on from the ledger. */
export function resumeOptions(refund: OpenRefund): RefundStartOptions {
  return refundStartOptions(
    { body: { refundId: refund.id, resume: true } },
    {
      provider: refund.provider,
      paymentId: refund.payment_id,
      reference: refund.reference,
      amountMinor: refund.amount_minor,
      deadlineMs: refund.refund_deadline?.getTime() ?? null,
      summary: refundSummary(refund.provider, refund.amount_minor, refund.currency),
    },
  );
}

interface ReconciliationOptions<Begin> {
  readonly workflowId: string;
  readonly taskQueue: string;
  readonly args: [Envelope<Begin>];
  readonly workflowIdConflictPolicy: 'USE_EXISTING';
  readonly workflowIdReusePolicy: 'ALLOW_DUPLICATE';
  readonly staticSummary: string;
}

/** A run that is going is left as it is; one that was lost begins again, under its own row. */
export function reconciliationOptions(reconciliationId: string): ReconciliationOptions<ReconciliationStart> {
  return reconcileOptions(
    reconciliationWorkflowId(reconciliationId),
    { reconciliationId },
    'Compare the ledger with the providers',
  );
}

export function paymentReconciliationOptions(
  payment: PaymentReconciliationStart,
): ReconciliationOptions<PaymentReconciliationStart> {
  const summary = `Compare one payment with ${payment.provider}`;
  return reconcileOptions(paymentReconciliationWorkflowId(payment.paymentId), payment, summary);
}

function reconcileOptions<Begin>(
  workflowId: string,
  body: Begin,
  staticSummary: string,
): ReconciliationOptions<Begin> {
  return {
    workflowId,
    taskQueue: REFUND_TASK_QUEUE,
    args: [{ body }],
    workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
    staticSummary,
  };
}

export function refundSummary(provider: string, amountMinor: number | null, currency: string | null): string {
  const amount = amountMinor === null ? 'All that is refundable' : formatDecimal(amountMinor);
  return `Refund through ${provider}: ${amount} ${currency ?? ''}`.trimEnd();
}

function searchAttributes(hints: RefundHints): SearchAttributePair[] {
  const keyword = (name: keyof typeof SEARCH_ATTRIBUTES, value: string): SearchAttributePair => ({
    key: defineSearchAttributeKey(name, 'KEYWORD'),
    value,
  });
  const pairs = [keyword('RefundStatus', 'pending'), keyword('RefundProvider', hints.provider)];
  if (hints.paymentId !== null) pairs.push(keyword('RefundPaymentId', hints.paymentId));
  if (hints.reference !== null) pairs.push(keyword('RefundReference', hints.reference));
  if (hints.amountMinor !== null) {
    pairs.push({
      key: defineSearchAttributeKey('RefundAmount', SEARCH_ATTRIBUTES.RefundAmount),
      value: hints.amountMinor,
    });
  }
  if (hints.deadlineMs !== null) {
    pairs.push({
      key: defineSearchAttributeKey('RefundDeadline', SEARCH_ATTRIBUTES.RefundDeadline),
      value: new Date(hints.deadlineMs),
    });
  }
  return pairs;
}
