/** What people can search refunds by in Temporal; set at the start where the door knows it, then only where it changes. */
import { log, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import { defineSearchAttributeKey, type SearchAttributePair } from '@temporalio/common';
import type { SagaState, SagaTerms } from '../src/domain/saga-state.js';

const STATUS = defineSearchAttributeKey('RefundStatus', 'KEYWORD');
const VOTES_MISSING = defineSearchAttributeKey('RefundVotesMissing', 'INT');
const APPROVAL_UNTIL = defineSearchAttributeKey('RefundApprovalUntil', 'DATETIME');

/**
 * Shows what is waited for when that has changed.
 * @param shown the version that was shown last; null: it was not waiting.
 * @returns what is shown now.
 */
export function showApproval({ stage, approval }: SagaState, shown: number | null): number | null {
  if (stage === 'approving' && approval) {
    const { version, missing, expiresAtMs } = approval.wait;
    if (version === shown) return shown;
    upsertSearchAttributes([
      { key: STATUS, value: 'requires_approval' },
      { key: VOTES_MISSING, value: missing },
      { key: APPROVAL_UNTIL, value: new Date(expiresAtMs) },
    ]);
    return version;
  }
  if (shown === null || stage === 'ended') return shown;
  upsertSearchAttributes([{ key: STATUS, value: 'pending' }, ...noApproval()]);
  return null;
}

/** What the run before this one has shown: it stands in the next one too. */
export function shownBefore({ stage, approval }: SagaState): number | null {
  return stage === 'approving' && approval ? approval.wait.version : null;
}

export function showEnd(
  status: string,
  terms: SagaTerms | null,
  refundId: string,
  wasApproving: boolean,
): void {
  log.info('refund ended', { refundId, status });
  const known = workflowInfo().typedSearchAttributes;
  const isNew = ({ key, value }: SearchAttributePair): boolean => String(known.get(key)) !== String(value);
  upsertSearchAttributes([
    { key: STATUS, value: status },
    ...(terms ? ofTerms(terms).filter(isNew) : []),
    ...(wasApproving ? noApproval() : []),
  ]);
}

function ofTerms(terms: SagaTerms): SearchAttributePair[] {
  return [
    { key: defineSearchAttributeKey('RefundProvider', 'KEYWORD'), value: terms.provider },
    { key: defineSearchAttributeKey('RefundPaymentId', 'KEYWORD'), value: terms.paymentId },
    { key: defineSearchAttributeKey('RefundAmount', 'INT'), value: terms.amountMinor },
    ...(terms.deadlineMs === null
      ? []
      : [
          {
            key: defineSearchAttributeKey('RefundDeadline', 'DATETIME'),
            value: new Date(terms.deadlineMs),
          },
        ]),
  ];
}

function noApproval() {
  return [
    { key: VOTES_MISSING, value: null },
    { key: APPROVAL_UNTIL, value: null },
  ];
}
