import { randomUUID } from 'node:crypto';
import type { Selectable } from 'kysely';
import type { ReviewOutcome } from '../../src/domain/review.js';
import type { Handled } from '../../src/ledger/approval-standing.js';
import {
  expireApproval,
  extendApproval,
  type Expiry,
  type ExtensionMessage,
  type ExtensionVerdict,
} from '../../src/ledger/approvals.js';
import { cancelRefund, type CancelMessage, type CancelVerdict } from '../../src/ledger/cancellation.js';
import type { Schema } from '../../src/ledger/database.js';
import type { EventRow } from '../../src/ledger/refund-reads.js';
import type { PaymentRow, RefundRow } from '../../src/ledger/refunds.js';
import { resolveRefund, type Decision, type Resolving } from '../../src/ledger/resolution.js';
import { moveToReview } from '../../src/ledger/settlement.js';
import { castVote, type VoteMessage, type VoteVerdict } from '../../src/ledger/votes.js';
import {
  POLICY,
  QUIET_MS,
  reading,
  START_MS,
  TIMEOUT_MS,
  unknown,
  type LedgerScene,
} from './ledger-scene.js';

/** When people speak, unless a test says otherwise. */
export const SOON_MS = START_MS + 1_000;
/** When somebody decides about a review, and the second round begins. */
export const RESEND_MS = START_MS + 3_600_000;
/** Who agrees to the first round of a refund that is to have a second one. */
const FIRST_VOTERS = ['bruno', 'carla', 'davi'];

type At = { readonly nowMs?: number };

/** What people ask of refunds, as the front door has let it in, with what a test does not care about filled in. */
export interface People {
  vote(refundId: string, actor: string, given?: Partial<VoteMessage> & At): Promise<Handled<VoteVerdict>>;
  reject(refundId: string, actor: string, given?: Partial<VoteMessage> & At): Promise<Handled<VoteVerdict>>;
  cancel(refundId: string, given?: Partial<CancelMessage> & At): Promise<Handled<CancelVerdict>>;
  extend(
    refundId: string,
    expiresAtMs: number,
    given?: Partial<ExtensionMessage> & At,
  ): Promise<Handled<ExtensionVerdict>>;
  /** By a person who was shown nothing of it. */
  resolve(refundId: string, outcome: ReviewOutcome, given?: Partial<Decision> & At): Promise<Resolving>;
  expire(refundId: string, nowMs: number): Promise<Expiry>;
  /**
   * A refund of 1,000 that all agreed to, that was sent without an answer, and that olga ordered to be sent again: it
   * waits for votes once more, and holds the lane.
   */
  secondRound(paymentId: string, options?: Parameters<LedgerScene['refund']>[1]): Promise<string>;
}

export function peopleOf(ledger: LedgerScene): People {
  const { db } = ledger;
  const message = (refundId: string, actor: string) => ({
    refundId,
    actor,
    nonce: randomUUID(),
    proof: 'v1.test.proof',
    requestId: `req_${actor}`,
  });
  const hashOf = async (refundId: string): Promise<string> => (await ledger.refundRow(refundId)).content_hash;

  const people: People = {
    vote: async (refundId, actor, { nowMs = SOON_MS, ...given } = {}) => {
      const contentHash = given.contentHash ?? (await hashOf(refundId));
      const vote = { action: 'approve' as const, comment: null, contentHash };
      return castVote(db, { ...message(refundId, actor), ...vote, ...given }, nowMs);
    },
    reject: (refundId, actor, given) => people.vote(refundId, actor, { ...given, action: 'reject' }),
    cancel: (refundId, { nowMs = SOON_MS, ...given } = {}) =>
      cancelRefund(
        db,
        { ...message(refundId, 'olga'), action: 'cancel', reason: 'no longer wanted', ...given },
        nowMs,
      ),
    extend: async (refundId, expiresAtMs, { nowMs = SOON_MS, ...given } = {}) => {
      const contentHash = given.contentHash ?? (await hashOf(refundId));
      const extension = { action: 'extend' as const, contentHash, expiresAtMs };
      return extendApproval(db, { ...message(refundId, 'olga'), ...extension, ...given }, nowMs);
    },
    resolve: async (refundId, outcome, { nowMs = RESEND_MS, ...given } = {}) => {
      const { version } = await ledger.refundRow(refundId);
      const { actor, nonce, proof, requestId } = message(refundId, given.actor ?? 'olga');
      const decision: Decision = {
        id: `${outcome} by ${actor} at ${version}`,
        refundVersion: version,
        outcome,
        evidence: 'nothing of it is there',
        ...{ actor, nonce, proof, requestId },
        ...given,
      };
      const seen = { reading: reading([], nowMs), onlyOneRefund: false };
      const bounds = { providerTimeoutMs: TIMEOUT_MS, quietMs: QUIET_MS };
      return resolveRefund(
        db,
        { refundId, decision, seen, bounds, nowMs },
        {
          expiresAfterMs: POLICY.approval.expiresAfterMs,
          contentHash: (payment, refund, round) => `${payment.id}, ${refund.id}, round ${round}`,
        },
      );
    },
    expire: (refundId, nowMs) => expireApproval(db, refundId, nowMs),
    secondRound: async (paymentId, options = {}) => {
      const { approvals = 2 } = options;
      const refundId = await ledger.refund(paymentId, { ...options, approvals });
      const { approvals_required: required } = await ledger.refundRow(refundId);
      for (const actor of FIRST_VOTERS.slice(0, required)) await people.vote(refundId, actor);
      await ledger.submit(refundId, unknown());
      await moveToReview(db, refundId, 'nobody can tell', SOON_MS);
      const resolving = await people.resolve(refundId, 'resend');
      if (resolving.kind !== 'resend') throw new Error(`no second round: ${JSON.stringify(resolving)}`);
      return refundId;
    },
  };
  return people;
}

/** Of a payment: refunded, reserved, moved without us. */
export async function sumsOf(ledger: LedgerScene, paymentId: string): Promise<[number, number, number]> {
  const payment = await ledger.paymentRow(paymentId);
  return [payment.refunded_minor, payment.reserved_minor, payment.external_minor];
}

export async function eventsOf(
  { db }: LedgerScene,
  refundId: string,
  type: string,
): Promise<Pick<EventRow, 'actor' | 'request_id' | 'reason' | 'data'>[]> {
  return db
    .selectFrom('refund_events')
    .select(['actor', 'request_id', 'reason', 'data'])
    .where('refund_id', '=', refundId)
    .where('type', '=', type)
    .orderBy('sequence')
    .execute();
}

/** Of every round. */
export async function storedVotes(
  { db }: LedgerScene,
  refundId: string,
): Promise<Selectable<Schema['votes']>[]> {
  return db
    .selectFrom('votes')
    .selectAll()
    .where('refund_id', '=', refundId)
    .orderBy('round')
    .orderBy('voted_at')
    .orderBy('actor')
    .execute();
}

/** All that a message may change, to compare. */
export async function traceOf(ledger: LedgerScene, refundId: string): Promise<Trace> {
  const refund = await ledger.refundRow(refundId);
  const messages = await ledger.db
    .selectFrom('front_door_messages')
    .select('nonce')
    .where('refund_id', '=', refundId)
    .execute();
  return {
    refund,
    payment: await ledger.paymentRow(refund.payment_id),
    votes: (await storedVotes(ledger, refundId)).length,
    messages: messages.length,
  };
}

interface Trace {
  readonly refund: RefundRow;
  readonly payment: PaymentRow;
  readonly votes: number;
  readonly messages: number;
}
