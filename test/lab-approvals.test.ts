import { describe, expect, it } from '@jest/globals';
import { compareApprovals } from '../lab/approval-comparison.js';
import { coursesOf } from '../lab/approval-course.js';
import type { DiscrepancyKind, MessageStory, VoteStory } from '../lab/stories.js';
import type { StoredEvent } from '../lab/trail.js';

/** Two must agree to so much; the time for it is over at `ENDS_AT_MS`. */
const AMOUNT_MINOR = 70_000;
const ENDS_AT_MS = 10_000;

describe('the comparison of what people said with what was done finds', () => {
  const created = happened(0, 'refund_created', {
    ...{ status: 'requires_approval', amount_minor: AMOUNT_MINOR, content_hash: 'h1' },
    approval: { required: 2, expires_at: new Date(ENDS_AT_MS).toISOString() },
  });
  const byAna = cast(1_000, 'ana');
  const byBia = cast(2_000, 'bia');
  const approved = happened(2_000, 'refund_approved', { status: 'pending', pending_reason: 'validating' });
  const claimed = happened(3_000, 'attempt_claimed', { status: 'pending' });
  const succeeded = happened(4_000, 'refund_succeeded', { status: 'succeeded' });
  const canceled = happened(2_500, 'refund_canceled', { status: 'canceled' });
  const rejected = happened(2_000, 'refund_rejected', { status: 'rejected' });
  const expired = happened(ENDS_AT_MS, 'refund_expired', { status: 'expired' });
  const no = { decision: 'reject' } as const;
  const extended = happened(3_000, 'approval_extended', {
    ...{ status: 'requires_approval', expires_at: new Date(ENDS_AT_MS + 5_000).toISOString() },
  });
  const lateMoney = happened(5_000, 'late_money_seen', { status: 'review', counted: 'reserved' });

  const anaSaid = said('ana', 'approve');
  const biaSaid = said('bia', 'approve');
  const cancelAsked: MessageStory = { ...said('otto', 'cancel'), contentHash: null };
  const extensionAsked: MessageStory = {
    ...said('otto', 'extend'),
    ...{ contentHash: null, expiresAtMs: ENDS_AT_MS + 5_000, answeredAtMs: 3_100 },
  };

  const agreed = [created, byAna, byBia, approved, claimed, succeeded];
  const both = [kept('ana'), kept('bia')];
  const told = [anaSaid, biaSaid];

  it('nothing where all is as it was said', () => {
    expect(kinds(agreed, told, both)).toEqual([]);
    // The same vote again, and one that is not known to have arrived.
    expect(kinds(agreed, [...told, anaSaid, { ...biaSaid, answer: null }], both)).toEqual(['unanswered']);
    expect(kinds([created, expired], [], [])).toEqual([]);
    expect(kinds([created, canceled], [cancelAsked], [])).toEqual([]);
    expect(kinds([created, canceled, lateMoney], [cancelAsked], [])).toEqual([]);
    expect(kinds([created, extended], [extensionAsked], [])).toEqual([]);
    expect(kinds(...asSaid(created, byAna, cast(2_000, 'bia', no), rejected))).toEqual([]);
  });

  it('nothing where what went before it counts no more', () => {
    const [first, second] = [partOf(20_000, 'rfd_0'), partOf(20_000, 'rfd_1')];
    const failed = happened(1_000, 'refund_failed', { status: 'failed' });
    const misbooked = happened(1_000, 'other_amount_seen', { status: 'review' });
    for (const released of [failed, misbooked]) {
      expect(kinds(...asSaid(first, { ...released, refund_id: 'rfd_0' }, second))).toEqual([]);
    }
  });

  it('nothing where a resend was agreed to anew', () => {
    const review = happened(4_000, 'review_required', { status: 'review' });
    const resent = happened(5_000, 'review_resolved', {
      ...{ status: 'requires_approval', content_hash: 'h2', actor: 'otto' },
      approval: { required: 2, expires_at: new Date(20_000).toISOString() },
    });
    const anew = { content_hash: 'h2' };
    const first = [created, byAna, byBia, approved, claimed, review, resent, cast(6_000, 'ana', anew)];
    const second = [cast(7_000, 'caio', anew), at(7_000, approved), claimed];
    expect(kinds(...asSaid(...first, ...second))).toEqual([]);
    // What was agreed to before counts for nothing.
    expect(kinds(...asSaid(...first, { ...claimed, data: {} }))).toEqual(['sent_without_votes']);
  });

  const CASES: readonly [string, DiscrepancyKind, Scene][] = [
    ['a call before the last vote', 'sent_without_votes', asSaid(created, byAna, { ...claimed, data: {} })],
    ['a wait that ended with a vote missing', 'sent_without_votes', asSaid(created, byAna, approved)],
    ['fewer approvals asked for than the policy asks', 'approvals_miscounted', asSaid(needing(1))],
    [
      'a refund that needs votes with what went before it, and was not asked for any',
      'approvals_miscounted',
      asSaid(partOf(20_000, 'rfd_0'), partOf(20_000, 'rfd_1')),
    ],
    ['a vote that was answered 200, and is gone', 'vote_lost', [[created, byAna], told, [kept('ana')]]],
    ['a vote that is not in the trail', 'vote_lost', [[created, byAna], told, both]],
    ['a vote that is in the trail alone', 'vote_lost', [[created, byAna], [], []]],
    ['a vote that counted twice', 'vote_twice', [[created, byAna, byAna], [anaSaid], [kept('ana')]]],
    ['votes that send nothing on', 'vote_ignored', asSaid(created, byAna, byBia)],
    ['an end by time though all had agreed', 'vote_ignored', asSaid(created, byAna, byBia, expired)],
    ['a rejection that ends nothing', 'vote_ignored', asSaid(created, cast(1_000, 'ana', no))],
    ['a vote past the end', 'vote_against_rules', asSaid(created, cast(ENDS_AT_MS, 'ana'))],
    ['a vote after all was decided', 'vote_against_rules', asSaid(...agreed, cast(5_000, 'caio'))],
    ['the requester’s own vote', 'vote_against_rules', asSaid(created, cast(1_000, 'rita'))],
    ['the vote of who may not vote', 'vote_against_rules', asSaid(created, cast(1_000, 'otto'))],
    [
      'a second vote of one person',
      'vote_against_rules',
      asSaid(created, byAna, cast(2_000, 'ana', no), rejected),
    ],
    [
      'a vote on something else',
      'vote_against_rules',
      asSaid(created, cast(1_000, 'ana', { content_hash: 'h0' })),
    ],
    ['a vote that nobody gave', 'asked_by_nobody', [agreed, [anaSaid], both]],
    ['more time that nobody asked for', 'asked_by_nobody', asSaid(created, extended)],
    ['a cancel that nobody asked for', 'asked_by_nobody', asSaid(created, canceled)],
    ['a cancel that did not hold', 'cancel_lost', [agreed, [...told, cancelAsked], both]],
    ['more time that was promised, and not given', 'extension_lost', [[created], [extensionAsked], []]],
    ['a rejection by nobody', 'ended_without_reason', asSaid(created, byAna, rejected)],
    ['an end before its time', 'ended_without_reason', asSaid(created, at(9_000, expired))],
    [
      'an end before the time that was added',
      'ended_without_reason',
      [[created, extended, expired], [extensionAsked], []],
    ],
    ['a reminder that came twice', 'told_twice', asSaid(created, reminded(1), reminded(2), reminded(1))],
    ['a person who was never answered', 'unanswered', [[created], [{ ...anaSaid, answer: null }], []]],
    ['a broken server', 'server_error', [[created], [refused(anaSaid, 500, 'internal_error')], []]],
    [
      'a vote that was refused, and counts',
      'two_answers',
      [[...agreed, noted(anaSaid, 'already_final')], [...told, refused(anaSaid, 409, 'already_final')], both],
    ],
    [
      'a refusal that the trail does not tell of',
      'refusal_lost',
      [[created], [refused(stale(anaSaid), 409, 'approval_conflict')], []],
    ],
  ];
  it.each(CASES)('%s', (_, kind, scene) => {
    expect([...new Set(kinds(...scene))]).toEqual([kind]);
  });

  const REFUSALS: readonly [string, number, MessageStory, MessageStory][] = [
    ['forbidden', 403, said('otto', 'approve'), anaSaid],
    ['self_approval_forbidden', 403, said('rita', 'approve'), anaSaid],
    ['already_final', 409, { ...anaSaid, answeredAtMs: ENDS_AT_MS }, anaSaid],
    ['approval_conflict', 409, stale(anaSaid), anaSaid],
    ['invalid_request', 400, anaSaid, anaSaid],
  ];
  it.each(REFUSALS)('a vote that was refused as %s without a reason', (code, status, justly, unjustly) => {
    const judge = (message: MessageStory): DiscrepancyKind[] =>
      kinds([created, noted(message, code)], [refused(message, status, code)], []);
    expect(judge(unjustly)).toEqual(['refused_without_reason']);
    if (justly !== unjustly) expect(judge(justly)).toEqual([]);
  });

  it('a cancel that was refused though nothing was sent', () => {
    const asked = refused(cancelAsked, 409, 'not_cancelable');
    expect(kinds([created], [asked], [])).toEqual(['refused_without_reason']);
    expect(kinds(agreed, [...told, { ...asked, answeredAtMs: 3_000 }], both)).toEqual([]);
    expect(kinds([created, expired], [{ ...asked, answeredAtMs: ENDS_AT_MS }], [])).toEqual([]);
  });

  it('a second vote that was refused for the first', () => {
    const second = said('ana', 'reject');
    const events = [created, byAna, noted(second, 'approval_conflict')];
    const messages = [anaSaid, refused(second, 409, 'approval_conflict')];
    expect(kinds(events, messages, [kept('ana')])).toEqual([]);
  });

  function needing(required: number): StoredEvent {
    const { data } = created;
    const approval = { required, expires_at: new Date(ENDS_AT_MS).toISOString() };
    return { ...created, data: { ...(data as object), approval } };
  }

  function partOf(amountMinor: number, refundId: string): StoredEvent {
    const data = { status: 'pending', pending_reason: 'validating', amount_minor: amountMinor };
    return { ...happened(0, 'refund_created', data), refund_id: refundId };
  }

  function reminded(number: number): StoredEvent {
    return happened(1_000, 'approval_reminder', { round: 1, number });
  }
});

type Scene = readonly [readonly StoredEvent[], readonly MessageStory[], readonly VoteStory[]];

function kinds(...[events, messages, votes]: Scene): DiscrepancyKind[] {
  return compareApprovals({ courses: coursesOf(events), votes, messages }).map(({ kind }) => kind);
}

/** Every vote in the trail was given, and is kept. */
function asSaid(...events: readonly StoredEvent[]): Scene {
  const votes = [...coursesOf(events).values()].flatMap(({ rounds }) =>
    rounds.flatMap((round) => round.votes),
  );
  const messages = votes.map(({ actor, decision, contentHash }) => ({
    ...said(actor, decision),
    contentHash,
  }));
  return [events, messages, votes];
}

/** `actor` is whose event it is; of a refund, its requester. */
function happened(
  atMs: number,
  type: string,
  { actor = 'rita', ...data }: Record<string, unknown>,
): StoredEvent {
  return {
    ...{ payment_id: 'pay_1', refund_id: 'rfd_1', sequence: 1, type, origin: 'service' },
    ...{ actor: String(actor), reason: null, request_id: null, occurred_at: new Date(atMs), data },
    ...{ previous_hash: '', hash: '' },
  };
}

function cast(atMs: number, actor: string, more: Record<string, unknown> = {}): StoredEvent {
  const vote = { status: 'requires_approval', decision: 'approve', content_hash: 'h1' };
  return happened(atMs, 'vote_cast', { actor, ...vote, ...more });
}

function kept(actor: string, more: Partial<VoteStory> = {}): VoteStory {
  return { refundId: 'rfd_1', actor, decision: 'approve', contentHash: 'h1', ...more };
}

function said(actor: string, action: MessageStory['action']): MessageStory {
  return {
    ...{ refundId: 'rfd_1', actor, action, contentHash: 'h1', expiresAtMs: null },
    ...{ answer: { status: 200, code: null }, answeredAtMs: 2_000 },
  };
}

function refused(message: MessageStory, status: number, code: string): MessageStory {
  return { ...message, answer: { status, code } };
}

function noted({ actor, action, contentHash }: MessageStory, code: string): StoredEvent {
  return happened(1_500, 'vote_refused', { actor, action, code, content_hash: contentHash });
}

function stale(message: MessageStory): MessageStory {
  return { ...message, contentHash: 'h0' };
}

function at(atMs: number, event: StoredEvent): StoredEvent {
  return { ...event, occurred_at: new Date(atMs) };
}
