import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { ProviderRefund } from '../src/domain/provider.js';
import type { ReviewOutcome } from '../src/domain/review.js';
import { takeLane } from '../src/ledger/lanes.js';
import {
  resolveRefund,
  type Decision,
  type ResolutionAsk,
  type Resolving,
} from '../src/ledger/resolution.js';
import { lockRefund, transition } from '../src/ledger/refunds.js';
import { isPaused } from '../src/ledger/provider-switches.js';
import { compensateRefund, moveToReview, settleRefund } from '../src/ledger/settlement.js';
import { forgetWithBooks } from './setup/books.js';
import {
  accepted,
  declined,
  openLedger,
  QUIET_MS,
  reading,
  shownRefund,
  START_MS,
  TIMEOUT_MS,
  unknown,
  type LedgerScene,
  NO_NEXT_ROUND,
} from './setup/ledger-scene.js';

let ledger: LedgerScene;
beforeAll(async () => {
  ledger = await openLedger();
});
afterEach(() => forgetWithBooks(ledger));
afterAll(() => ledger.close());

const LATER_MS = START_MS + 3_600_000;
const OFF: ResolutionAsk['seen'] = {
  kind: 'unread',
  why: 'The provider is not enabled.',
  wordSuffices: true,
};
const DOWN: ResolutionAsk['seen'] = { kind: 'unread', why: 'It is down.', wordSuffices: false };
const OURS = shownRefund(1_000);
const TWINS = [OURS, shownRefund(1_000)];

function seen(
  refunds: readonly ProviderRefund[],
  rest: Parameters<typeof reading>[2] = {},
): ResolutionAsk['seen'] {
  return { reading: reading(refunds, LATER_MS, rest), onlyOneRefund: false };
}

async function resolve(
  refundId: string,
  outcome: ReviewOutcome,
  at: ResolutionAsk['seen'],
  changes: Partial<Decision> & { nowMs?: number } = {},
): Promise<Resolving> {
  const { version } = await ledger.refundRow(refundId);
  const { nowMs = LATER_MS, ...decision } = changes;
  return resolveRefund(
    ledger.db,
    {
      refundId,
      decision: {
        id: `${outcome}-of-olga`,
        refundVersion: version,
        outcome,
        evidence: { ticketId: 'EF-1' },
        actor: 'olga',
        requestId: 'req_olga',
        nonce: randomUUID(),
        proof: 'v1.test',
        ...decision,
      },
      seen: at,
      bounds: { providerTimeoutMs: TIMEOUT_MS, quietMs: QUIET_MS },
      nowMs,
    },
    NO_NEXT_ROUND,
  );
}

/** Sent once, unanswered, in review; another refund of the payment waits for the lane. */
async function unclearRefund(): Promise<{ refundId: string; paymentId: string; waiting: string }> {
  const paymentId = await ledger.payment();
  const refundId = await ledger.refund(paymentId);
  const waiting = await ledger.refund(paymentId, { amountMinor: 300 });
  await ledger.submit(refundId, unknown());
  await takeLane(ledger.db, waiting, LATER_MS);
  await moveToReview(ledger.db, refundId, 'nobody can tell', START_MS);
  return { refundId, paymentId, waiting };
}

async function lastEvent(refundId: string) {
  return ledger.db
    .selectFrom('refund_events')
    .selectAll()
    .where('refund_id', '=', refundId)
    .orderBy('sequence', 'desc')
    .limit(1)
    .executeTakeFirstOrThrow();
}

describe('each outcome against what the provider shows', () => {
  const allowed = { succeeded: 'closed', failed: 'closed', resend: 'resend' } as const;
  const contradicted = { succeeded: 'contradicted', failed: 'contradicted', resend: 'contradicted' } as const;
  const cases: [string, ResolutionAsk['seen'], Record<ReviewOutcome, Resolving['kind']>][] = [
    ['ours, done', seen([OURS]), { ...contradicted, succeeded: 'closed' }],
    ['ours, under way', seen([shownRefund(1_000, 'processing')]), contradicted],
    ['ours, rejected', seen([shownRefund(1_000, 'rejected')]), { ...contradicted, failed: 'closed' }],
    ['ours, unclear', seen([shownRefund(1_000, 'unclear')]), { ...allowed, resend: 'contradicted' }],
    [
      'ours, in a word unlisted',
      seen([shownRefund(1_000, 'unknown')]),
      { ...allowed, resend: 'contradicted' },
    ],
    ['two that may be ours', seen(TWINS), { ...allowed, resend: 'contradicted' }],
    ['one of another amount', seen([shownRefund(999)]), { ...allowed, resend: 'contradicted' }],
    ['nothing', seen([]), { ...allowed, succeeded: 'contradicted' }],
    [
      'a list that may be cut',
      seen([], { complete: false }),
      { succeeded: 'closed', failed: 'unreadable', resend: 'unreadable' },
    ],
    ['no answer', DOWN, { succeeded: 'unreadable', failed: 'unreadable', resend: 'unreadable' }],
    ['no credentials', OFF, { ...allowed, resend: 'unreadable' }],
  ];

  it.each(cases)(
    '%s',
    async (_, at, expected) => {
      for (const outcome of ['succeeded', 'failed', 'resend'] as const) {
        const { refundId, paymentId, waiting } = await unclearRefund();
        const resolving = await resolve(refundId, outcome, at);
        expect([outcome, resolving.kind]).toEqual([outcome, expected[outcome]]);
        const refund = await ledger.refundRow(refundId);
        const payment = await ledger.paymentRow(paymentId);
        if (resolving.kind === 'closed') {
          expect(refund).toMatchObject({ status: outcome, review_ends_by: null, review_reason: null });
          expect(refund.failure_reason).toBe(outcome === 'failed' ? 'provider_declined' : null);
          expect(payment).toMatchObject({
            refunded_minor: outcome === 'succeeded' ? 1_000 : 0,
            reserved_minor: 300,
          });
          expect(resolving.wakeRefundId).toBe(waiting);
          expect(await ledger.laneHolder(paymentId)).toBeNull();
        } else {
          expect(payment).toMatchObject({ refunded_minor: 0, reserved_minor: 1_300 });
          expect(await ledger.laneHolder(paymentId)).toBe(refundId);
          expect(refund.status).toBe(resolving.kind === 'resend' ? 'pending' : 'review');
        }
        if (resolving.kind === 'resend') {
          expect(resolving).toEqual({ kind: 'resend', attempt: 1 });
          expect(refund).toMatchObject({ pending_reason: 'validating', attempt: 1 });
          expect(await ledger.attempts(refundId)).toMatchObject([{ conclusion: 'absent' }]);
        }
      }
    },
    30_000,
  );
});

describe('what a decision leaves behind', () => {
  it('is who decided what, on which evidence, and what the provider showed', async () => {
    const { refundId } = await unclearRefund();
    await resolve(refundId, 'succeeded', seen(TWINS));
    expect(await lastEvent(refundId)).toMatchObject({
      type: 'review_resolved',
      actor: 'olga',
      request_id: 'req_olga',
      data: {
        resolution_id: 'succeeded-of-olga',
        outcome: 'succeeded',
        operator_evidence: [{ name: 'ticketId', value: 'EF-1' }],
        provider_shows: { verdict: 'cannotTell', words: '2 new refunds appeared since the call' },
        concluded: [{ attempt: 1, conclusion: 'landed' }],
        status: 'succeeded',
      },
    });
    expect((await ledger.refundRow(refundId)).evidence).toEqual({
      source: 'operator',
      observedAt: new Date(LATER_MS).toISOString(),
      providerStatus: 'PAID',
    });
  });

  it('is the provider’s own evidence where that shows it', async () => {
    const { refundId } = await unclearRefund();
    await resolve(refundId, 'succeeded', seen([shownRefund(1_000, 'succeeded', 'at-provider')]));
    expect(await ledger.refundRow(refundId)).toMatchObject({
      provider_refund_id: 'at-provider',
      evidence: { source: 'operator', providerStatus: 'SUCCEEDED' },
    });
  });

  it('is what was read, also where the decision was refused', async () => {
    const { refundId } = await unclearRefund();
    await resolve(refundId, 'failed', seen([shownRefund(1_000, 'processing', 'at-provider')]));
    expect(await ledger.attempts(refundId)).toMatchObject([
      { provider_refund_id: 'at-provider', matched_by: 'amount' },
    ]);
  });

  it('does not blind the ledger: what was given up as not shown and shows up late goes back to review', async () => {
    const { refundId, paymentId } = await unclearRefund();
    await resolve(refundId, 'failed', seen([]));
    await ledger.look(refundId, [OURS], { nowMs: LATER_MS + 60_000 });
    expect(await ledger.refundRow(refundId)).toMatchObject({
      status: 'review',
      review_ends_by: 'person',
      money: 'reserved',
    });
    expect(
      await resolve(refundId, 'failed', seen([OURS]), { id: 'again', nowMs: LATER_MS + 120_000 }),
    ).toMatchObject({
      kind: 'contradicted',
    });
    expect(await resolve(refundId, 'resend', seen([]), { id: 'resent' })).toMatchObject({
      kind: 'contradicted',
    });
    expect(await resolve(refundId, 'succeeded', DOWN, { id: 'late' })).toMatchObject({ kind: 'closed' });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ refunded_minor: 1_000, reserved_minor: 300 });
  });
});

describe('who may decide, and when', () => {
  it('nobody about their own refund', async () => {
    const { refundId } = await unclearRefund();
    expect(await resolve(refundId, 'failed', seen([]), { actor: 'ana' })).toEqual({ kind: 'ownRefund' });
    expect((await ledger.refundRow(refundId)).status).toBe('review');
  });

  it('only in a review, and in the one that the person saw', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    expect(await resolve(refundId, 'failed', seen([]))).toEqual({ kind: 'notInReview' });
    await ledger.submit(refundId, unknown());
    await moveToReview(ledger.db, refundId, 'first', START_MS);
    const { version } = await ledger.refundRow(refundId);
    expect(await resolve(refundId, 'resend', seen([]))).toMatchObject({ kind: 'resend' });
    await ledger.claim(refundId, 2, { reading: reading([], LATER_MS), nowMs: LATER_MS });
    await moveToReview(ledger.db, refundId, 'second', LATER_MS);
    const old = { id: 'old', refundVersion: version };
    expect(await resolve(refundId, 'resend', seen([]), old)).toEqual({ kind: 'notInReview' });
    expect((await ledger.refundRow(refundId)).status).toBe('review');
  });

  it('once: a repeat is told what it did, even after that, and moves nothing', async () => {
    const { refundId, paymentId } = await unclearRefund();
    const { version: refundVersion } = await ledger.refundRow(refundId);
    const closings = await Promise.all(
      [1, 2, 3].map(() => resolve(refundId, 'succeeded', seen(TWINS), { refundVersion })),
    );
    closings.push(await resolve(refundId, 'succeeded', DOWN));
    expect(closings.map(({ kind }) => kind)).toEqual(['closed', 'closed', 'closed', 'closed']);
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ refunded_minor: 1_000 });
    const types = await ledger.eventTypes({ refundId });
    expect(types.filter((type) => type === 'review_resolved')).toHaveLength(1);
    const resent = await unclearRefund();
    await resolve(resent.refundId, 'resend', seen([]));
    expect(await resolve(resent.refundId, 'resend', seen([]))).toEqual({ kind: 'resend', attempt: 1 });
  });

  it('never against the provider that decides at the same time', async () => {
    for (const outcome of ['failed', 'resend', 'succeeded'] as const) {
      const { refundId, paymentId } = await unclearRefund();
      await ledger.look(refundId, [OURS], { nowMs: LATER_MS - 1_000 });
      const [settled, resolved] = await Promise.all([
        settleRefund(ledger.db, refundId, LATER_MS),
        resolve(refundId, outcome, seen([])),
      ]);
      expect([settled.kind, (await ledger.refundRow(refundId)).status]).toEqual(['closed', 'succeeded']);
      expect(['contradicted', 'notInReview', 'closed']).toContain(resolved.kind);
      expect(await ledger.paymentRow(paymentId)).toMatchObject({
        refunded_minor: 1_000,
        reserved_minor: 300,
      });
    }
  });

  it('not on a reading that is older than another one', async () => {
    const { refundId } = await unclearRefund();
    await ledger.look(refundId, [shownRefund(1_000, 'processing')], { nowMs: LATER_MS + 1 });
    expect(await resolve(refundId, 'failed', seen([]))).toMatchObject({ kind: 'unreadable' });
  });

  it('not while the call may still be under way, and resent not before the provider wants it', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, unknown(7_200_000));
    await moveToReview(ledger.db, refundId, 'a slow call', START_MS);
    const at = (nowMs: number): ResolutionAsk['seen'] => ({
      reading: reading([], nowMs),
      onlyOneRefund: false,
    });
    for (const outcome of ['failed', 'resend'] as const) {
      expect(
        await resolve(refundId, outcome, at(START_MS + 5_000), { nowMs: START_MS + 5_000 }),
      ).toMatchObject({
        kind: 'contradicted',
        why: 'Its call may be under way until 2026-03-10T12:00:12.000Z.',
      });
    }
    expect(await resolve(refundId, 'resend', seen([]))).toMatchObject({
      kind: 'contradicted',
      why: 'The provider asked to wait until 2026-03-10T14:00:01.000Z.',
    });
  });

  it('resent never after the window', async () => {
    const { refundId } = await unclearRefund();
    const windowEnds = (submitBefore: Date | null) =>
      ledger.db
        .updateTable('refunds')
        .set({ submit_before: submitBefore })
        .where('id', '=', refundId)
        .execute();
    await windowEnds(new Date(LATER_MS));
    expect(await resolve(refundId, 'resend', seen([]))).toMatchObject({
      kind: 'contradicted',
      why: 'The refund window is over: nothing may be sent any more.',
    });
    await windowEnds(null);
  });
});

describe('reviews that only a person ends', () => {
  it('another amount: failed keeps what moved as external, nothing else is allowed', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, accepted('at-provider'));
    await ledger.look(refundId, [shownRefund(10, 'succeeded', 'at-provider')]);
    expect(await isPaused(ledger.db, 'efi')).toBe(true);
    const shows = seen([shownRefund(10, 'succeeded', 'at-provider')]);
    expect(await resolve(refundId, 'succeeded', shows)).toMatchObject({ kind: 'contradicted' });
    expect(await resolve(refundId, 'resend', shows)).toMatchObject({ kind: 'contradicted' });
    expect(await resolve(refundId, 'failed', shows)).toMatchObject({ kind: 'closed' });
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'failed', money: 'released' });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({
      refunded_minor: 0,
      reserved_minor: 0,
      external_minor: 10,
    });
  });

  it('another amount that the decision’s own reading shows first is the person’s to decide about again', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, accepted('at-provider'));
    await moveToReview(ledger.db, refundId, 'never confirmed', START_MS);
    const shows = seen([shownRefund(10, 'succeeded', 'at-provider')]);
    expect(await resolve(refundId, 'failed', shows)).toMatchObject({ kind: 'contradicted' });
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'review', review_ends_by: 'person' });
    expect(await resolve(refundId, 'failed', shows)).toMatchObject({ kind: 'closed' });
  });

  it('late money without room for it: succeeded only once it fits', async () => {
    const paymentId = await ledger.payment({ amountMinor: 1_000 });
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, unknown());
    await moveToReview(ledger.db, refundId, 'unclear', START_MS);
    await resolve(refundId, 'failed', seen([]));
    const other = await ledger.refund(paymentId, { amountMinor: 600 });
    await ledger.look(refundId, [OURS], { nowMs: LATER_MS + 1 });
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'review', money: 'released' });
    const late = { id: 'late', nowMs: LATER_MS + 10 };
    expect(await resolve(refundId, 'succeeded', DOWN, late)).toMatchObject({
      kind: 'contradicted',
      why: 'What is left of the payment no longer holds the amount.',
    });
    await compensateRefund(ledger.db, other, 'refund_window_expired', LATER_MS);
    expect(await resolve(refundId, 'succeeded', DOWN, late)).toMatchObject({ kind: 'closed' });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ refunded_minor: 1_000, reserved_minor: 0 });
  });

  it('carried out twice: one is the refund, the other stays external', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, unknown());
    await ledger.proveAbsent(refundId);
    await ledger.submit(refundId, { kind: 'done', providerRefundId: 'second', providerStatus: 'DONE' });
    await ledger.answer(refundId, 1, { kind: 'done', providerRefundId: 'first', providerStatus: 'DONE' });
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'review', review_ends_by: 'person' });
    expect(await settleRefund(ledger.db, refundId, LATER_MS)).toMatchObject({ kind: 'refused' });
    expect(await resolve(refundId, 'failed', DOWN)).toMatchObject({ kind: 'contradicted' });
    expect(await resolve(refundId, 'succeeded', DOWN)).toMatchObject({ kind: 'closed' });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({
      refunded_minor: 1_000,
      reserved_minor: 0,
      external_minor: 1_000,
    });
  });

  it('equal money that may be this refund’s: no look takes it by its amount, a person says whose it is', async () => {
    for (const outcome of ['failed', 'succeeded'] as const) {
      const { refundId, paymentId } = await unclearRefund();
      await resolve(refundId, 'failed', seen([]));
      await backInReview(refundId, 'late_money_possible');
      expect(await ledger.look(refundId, [OURS], { nowMs: LATER_MS })).toMatchObject({ kind: 'cannotTell' });
      expect(await ledger.attempts(refundId)).toMatchObject([{ conclusion: 'absent' }]);
      expect(await resolve(refundId, outcome, seen([OURS]), { id: 'whose' })).toMatchObject({
        kind: 'closed',
      });
      expect(await ledger.refundRow(refundId)).toMatchObject({ status: outcome });
      const refunded = outcome === 'succeeded' ? 1_000 : 0;
      expect(await ledger.paymentRow(paymentId)).toMatchObject({
        refunded_minor: refunded,
        reserved_minor: 300,
      });
    }
  });

  it('what had succeeded and disappeared: given back only while it is not shown', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, { kind: 'done', providerRefundId: 'gone', providerStatus: 'DONE' });
    await settleRefund(ledger.db, refundId, START_MS);
    const again = async (): Promise<void> => backInReview(refundId, 'refund_disappeared');
    const shown = seen([shownRefund(1_000, 'succeeded', 'gone')]);
    await again();
    expect(await resolve(refundId, 'failed', shown)).toMatchObject({ kind: 'contradicted' });
    expect(await resolve(refundId, 'failed', DOWN)).toMatchObject({ kind: 'unreadable' });
    expect(await resolve(refundId, 'succeeded', seen([]))).toMatchObject({ kind: 'closed' });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ refunded_minor: 1_000, reserved_minor: 0 });
    await again();
    expect(await resolve(refundId, 'failed', seen([]))).toMatchObject({ kind: 'closed' });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ refunded_minor: 0, reserved_minor: 0 });
  });

  /** As reconciliation asks about a refund that had ended. */
  async function backInReview(refundId: string, type: string): Promise<void> {
    await ledger.db.transaction().execute(async (trx) => {
      const { refund } = await lockRefund(trx, refundId);
      await transition(
        trx,
        refund,
        { status: 'review', reviewReason: 'it may be', endsBy: 'person' },
        { type, data: {} },
        LATER_MS,
      );
    });
  }

  it('a resend needs the absence of every attempt', async () => {
    const refundId = await ledger.refund(await ledger.payment());
    await ledger.submit(refundId, unknown());
    await ledger.proveAbsent(refundId);
    await ledger.submit(refundId, declined(true), { reading: reading([], LATER_MS - 1) });
    await moveToReview(ledger.db, refundId, 'sent twice', START_MS);
    expect(await resolve(refundId, 'resend', seen([shownRefund(5)]))).toMatchObject({ kind: 'contradicted' });
    expect(await resolve(refundId, 'resend', seen([]))).toEqual({ kind: 'resend', attempt: 2 });
    expect(
      await ledger.claim(refundId, 3, { reading: reading([], LATER_MS), nowMs: LATER_MS }),
    ).toMatchObject({
      kind: 'claimed',
    });
  });
});
