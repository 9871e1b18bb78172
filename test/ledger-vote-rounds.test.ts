import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { approvalsRequired } from '../src/domain/approval.js';
import type { ApprovalRule } from '../src/domain/policy.js';
import type { AdmissionRules } from '../src/ledger/admission.js';
import { recordNotNow } from '../src/ledger/answers.js';
import { takeLane } from '../src/ledger/lanes.js';
import { findRefund } from '../src/ledger/refund-reads.js';
import { moveToReview, settleRefund } from '../src/ledger/settlement.js';
import {
  eventsOf,
  peopleOf,
  RESEND_MS,
  SOON_MS,
  storedVotes,
  sumsOf,
  type People,
} from './setup/approval-scene.js';
import { closeWithBooks } from './setup/books.js';
import { done, openLedger, reading, START_MS, unknown, type LedgerScene } from './setup/ledger-scene.js';

let ledger: LedgerScene;
let people: People;
beforeAll(async () => {
  ledger = await openLedger();
  people = peopleOf(ledger);
});
afterAll(() => closeWithBooks(ledger));

const DAY_MS = 86_400_000;
const END_MS = START_MS + 7 * DAY_MS;

/** Of 1,000, on a payment of its own; another of 300 is reserved beside it. */
async function waiting(approvals = 2): Promise<{ refundId: string; paymentId: string }> {
  const paymentId = await ledger.payment();
  await ledger.refund(paymentId, { amountMinor: 300 });
  return { refundId: await ledger.refund(paymentId, { approvals }), paymentId };
}

describe('what may be sent', () => {
  it('nothing before the last vote, whatever the engine says', async () => {
    const { refundId, paymentId } = await waiting();
    await people.vote(refundId, 'bruno');
    expect(await takeLane(ledger.db, refundId, SOON_MS)).toEqual({ kind: 'taken' });
    expect(await ledger.laneHolder(paymentId)).toBeNull();
    for (const number of [1, 2]) {
      expect(await ledger.claim(refundId, number, { needsLane: false })).toEqual({ kind: 'refundClosed' });
    }
    expect(await ledger.attempts(refundId)).toEqual([]);
    await people.vote(refundId, 'carla');
    await takeLane(ledger.db, refundId, SOON_MS);
    expect(await ledger.claim(refundId, 1)).toMatchObject({ kind: 'claimed' });
  });

  it('nothing that people or time ended', async () => {
    const ends = [
      (refundId: string) => people.reject(refundId, 'bruno'),
      (refundId: string) => people.cancel(refundId),
      (refundId: string) => people.expire(refundId, END_MS),
    ];
    for (const end of ends) {
      const { refundId, paymentId } = await waiting();
      await end(refundId);
      await takeLane(ledger.db, refundId, SOON_MS);
      expect(await ledger.laneHolder(paymentId)).toBeNull();
      expect(await ledger.claim(refundId, 1, { needsLane: false })).toEqual({ kind: 'refundClosed' });
    }
  });
});

describe('a second round', () => {
  it('begins with no votes, another hash and another end, keeps amount and lane, and sends nothing', async () => {
    const paymentId = await ledger.payment();
    const refundId = await people.secondRound(paymentId);
    const refund = await ledger.refundRow(refundId);
    expect(refund).toMatchObject({
      status: 'requires_approval',
      content_hash: `${paymentId}, ${refundId}, round 2`,
      approvals_required: 2,
      approval_round: 2,
      approval_state: 'pending',
      approval_opened_by: 'olga',
      approval_requested_at: new Date(RESEND_MS),
      approval_expires_at: new Date(RESEND_MS + 7 * DAY_MS),
    });
    expect(await sumsOf(ledger, paymentId)).toEqual([0, 1_000, 0]);
    expect(await ledger.laneHolder(paymentId)).toBe(refundId);
    expect(await findRefund(ledger.db, refundId)).toMatchObject({ votes: [] });
    expect((await eventsOf(ledger, refundId, 'review_resolved'))[0]?.data).toMatchObject({
      content_hash: refund.content_hash,
      approval: { required: 2, round: 2, expires_at: refund.approval_expires_at?.toISOString() },
    });
    const nowMs = RESEND_MS;
    expect(await ledger.claim(refundId, 2, { nowMs, reading: reading([], nowMs) })).toEqual({
      kind: 'refundClosed',
    });
  });

  it('needs as many people anew, of whom neither who asked nor who opened it is one', async () => {
    const paymentId = await ledger.payment();
    const refundId = await people.secondRound(paymentId);
    const nowMs = RESEND_MS + 1;
    for (const actor of ['ana', 'olga']) {
      expect(await people.vote(refundId, actor, { nowMs })).toMatchObject({
        verdict: { kind: 'refused', code: 'self_approval_forbidden' },
      });
    }
    const old = { contentHash: 'content-hash', nowMs };
    expect(await people.vote(refundId, 'davi', old)).toMatchObject({
      verdict: { code: 'approval_conflict' },
      standing: { missing: 2 },
    });
    expect(await people.vote(refundId, 'bruno', old)).toMatchObject({
      verdict: { code: 'approval_conflict' },
      standing: { round: 2, missing: 2 },
    });
    expect(await people.vote(refundId, 'bruno', { nowMs })).toMatchObject({
      verdict: { kind: 'done' },
      standing: { state: 'waiting', missing: 1 },
    });
    expect(await people.vote(refundId, 'elisa', { nowMs })).toMatchObject({
      standing: { state: 'approved' },
    });
    expect((await storedVotes(ledger, refundId)).map(({ round, actor }) => [round, actor])).toEqual([
      [1, 'bruno'],
      [1, 'carla'],
      [2, 'bruno'],
      [2, 'elisa'],
    ]);
    expect(await takeLane(ledger.db, refundId, nowMs)).toEqual({ kind: 'taken' });
    expect(await ledger.claim(refundId, 2, { nowMs, reading: reading([], nowMs) })).toMatchObject({
      kind: 'claimed',
    });
  });

  it('ends where the window closes first', async () => {
    const submitBeforeMs = RESEND_MS + DAY_MS;
    const window = { deadlineMs: submitBeforeMs + 600_000, submitBeforeMs };
    const refundId = await people.secondRound(await ledger.payment(), { window });
    expect(await ledger.refundRow(refundId)).toMatchObject({ approval_expires_at: new Date(submitBeforeMs) });
  });

  it('keeps its lane, whatever a step says of a provider that could not be read', async () => {
    const paymentId = await ledger.payment();
    const refundId = await people.secondRound(paymentId);
    expect(await ledger.laneHolder(paymentId)).toBe(refundId);
    const away = { reason: 'provider_unavailable', error: { code: 'x', message: 'x' } } as const;
    const seen = { ...away, refundId, retryAfterMs: null, nowMs: RESEND_MS };
    expect(await recordNotNow(ledger.db, seen)).toMatchObject({ wakeRefundId: null });
    expect(await ledger.laneHolder(paymentId)).toBe(refundId);
  });

  it('is followed by a third, in which who opened the second may vote', async () => {
    const refundId = await people.secondRound(await ledger.payment(), { approvals: 1 });
    const nowMs = RESEND_MS + 1;
    await people.vote(refundId, 'bruno', { nowMs });
    await ledger.submit(refundId, unknown(), { nowMs, reading: reading([], nowMs) });
    await moveToReview(ledger.db, refundId, 'unclear once more', nowMs);
    const laterMs = RESEND_MS + DAY_MS;
    await people.resolve(refundId, 'resend', { actor: 'otto', nowMs: laterMs });
    expect(await ledger.refundRow(refundId)).toMatchObject({ approval_round: 3, attempt: 2 });
    expect(await people.vote(refundId, 'otto', { nowMs: laterMs })).toMatchObject({
      verdict: { code: 'self_approval_forbidden' },
    });
    expect(await people.vote(refundId, 'olga', { nowMs: laterMs })).toMatchObject({
      standing: { state: 'approved' },
    });
  });

  it('is opened by no resend of what nobody need agree on', async () => {
    const refundId = await ledger.refund(await ledger.payment());
    await ledger.submit(refundId, unknown());
    await moveToReview(ledger.db, refundId, 'unclear', SOON_MS);
    expect(await people.resolve(refundId, 'resend')).toEqual({ kind: 'resend', attempt: 1 });
    expect(await ledger.refundRow(refundId)).toMatchObject({
      status: 'pending',
      approval_round: 0,
      content_hash: 'content-hash',
    });
  });
});

describe('a large amount in small parts', () => {
  const rules: ApprovalRule[] = [
    { when: { amountGteMinor: 10_000 }, approvals: 1 },
    { when: { amountGteMinor: 15_000 }, approvals: 2 },
  ];
  const approvals: AdmissionRules['approvals'] = (payment, amountMinor) =>
    approvalsRequired(rules, {
      amountMinor,
      heldMinor: payment.refundedMinor + payment.reservedMinor,
      reason: 'duplicate',
      provider: payment.provider,
      requester: 'ana',
    });
  const part = { amountMinor: 3_000, approvals };

  async function required(refundIds: readonly string[]): Promise<number[]> {
    const rows = await Promise.all(refundIds.map((refundId) => ledger.refundRow(refundId)));
    return rows.map((row) => row.approvals_required);
  }

  it('needs approvals as the sum grows, part by part or at once, and no longer what was given back', async () => {
    const paymentId = await ledger.payment({ amountMinor: 20_000 });
    const refundIds: string[] = [];
    for (let asked = 0; asked < 5; asked += 1) refundIds.push(await ledger.refund(paymentId, part));
    expect(await required(refundIds)).toEqual([0, 0, 0, 1, 2]);
    const rows = await Promise.all(refundIds.map((refundId) => ledger.refundRow(refundId)));
    expect(rows.map(({ status }) => status)).toEqual([
      ...Array(3).fill('pending'),
      ...Array(2).fill('requires_approval'),
    ]);
    await people.reject(refundIds[4] ?? '', 'bruno');
    await people.reject(refundIds[3] ?? '', 'bruno');
    expect(
      await required([await ledger.refund(paymentId, part), await ledger.refund(paymentId, part)]),
    ).toEqual([1, 2]);
    await Promise.all(refundIds.slice(0, 3).map((refundId) => people.cancel(refundId)));
    expect(await required([await ledger.refund(paymentId, part)])).toEqual([0]);

    const other = await ledger.payment({ amountMinor: 20_000 });
    const atOnce = await Promise.all([1, 2, 3, 4, 5].map(() => ledger.refund(other, part)));
    expect((await required(atOnce)).sort()).toEqual([0, 0, 0, 1, 2]);
  });

  it('counts what was refunded as well', async () => {
    const paymentId = await ledger.payment({ amountMinor: 20_000 });
    const first = await ledger.refund(paymentId, { ...part, amountMinor: 9_000 });
    await ledger.submit(first, done('first'));
    await settleRefund(ledger.db, first, SOON_MS);
    expect(await required([await ledger.refund(paymentId, { ...part, amountMinor: 999 })])).toEqual([0]);
    expect(await required([await ledger.refund(paymentId, { ...part, amountMinor: 1 })])).toEqual([1]);
  });
});

describe('who reads a refund', () => {
  it('sees the votes of its present round, oldest first', async () => {
    const refundId = await people.secondRound(await ledger.payment(), { approvals: 3 });
    await people.vote(refundId, 'zoe', { nowMs: RESEND_MS + 1, comment: 'first' });
    await people.vote(refundId, 'bruno', { nowMs: RESEND_MS + 2 });
    await people.reject(refundId, 'carla', { nowMs: RESEND_MS + 3, comment: '"no" \\ não' });
    const refund = await findRefund(ledger.db, refundId);
    expect(refund).toMatchObject({ status: 'rejected', approval_state: 'rejected', approval_round: 2 });
    const votes = refund?.votes.map(({ voted_at: at, ...vote }) => ({ ...vote, atMs: Date.parse(at) }));
    expect(votes).toEqual([
      { actor: 'zoe', decision: 'approve', comment: 'first', atMs: RESEND_MS + 1 },
      { actor: 'bruno', decision: 'approve', comment: null, atMs: RESEND_MS + 2 },
      { actor: 'carla', decision: 'reject', comment: '"no" \\ não', atMs: RESEND_MS + 3 },
    ]);
  });

  it('sees none where nobody need agree', async () => {
    const refundId = await ledger.refund(await ledger.payment());
    expect(await findRefund(ledger.db, refundId)).toMatchObject({ approval_state: null, votes: [] });
  });
});
