import { describe, expect, it } from '@jest/globals';
import { adviceFor, reviewKindOf, type ReviewKind, type ReviewSigns } from './review-advice.js';
import {
  judge,
  ownersOf,
  REVIEW_OUTCOMES,
  shownByLook,
  shownByMatch,
  type ReviewFacts,
  type Shown,
} from './review.js';

const UNREAD: Shown = { kind: 'unread', why: 'It is down.', wordSuffices: false };
const OFF: Shown = { kind: 'unread', why: 'It is off.', wordSuffices: true };
const CANNOT_TELL: Shown = { kind: 'cannotTell', why: 'Two look alike.', providerStatus: null };

/** Sent once, in time, its amount reserved. */
const OPEN: ReviewFacts = {
  shown: CANNOT_TELL,
  landed: false,
  settled: false,
  open: true,
  otherAmount: false,
  reserved: true,
  fits: true,
  windowClosed: false,
  underWayUntil: null,
  silentUntil: null,
};

const SHOWN: readonly Shown[] = [
  ...(['landed', 'processing', 'rejected', 'absent', 'notSent', 'otherAmount', 'incomplete'] as const).map(
    (kind): Shown => ({ kind }),
  ),
  CANNOT_TELL,
  UNREAD,
  OFF,
];
const BOOLEANS = [true, false];
const INSTANTS = [null, '2026-03-10T12:00:00.000Z'];

/** Every combination there is. */
const ALL: readonly ReviewFacts[] = SHOWN.flatMap((shown) =>
  BOOLEANS.flatMap((landed) =>
    BOOLEANS.flatMap((open) =>
      BOOLEANS.flatMap((otherAmount) =>
        BOOLEANS.flatMap((reserved) =>
          BOOLEANS.flatMap((windowClosed) =>
            INSTANTS.flatMap((underWayUntil) =>
              INSTANTS.map((silentUntil) => ({
                ...{ shown, landed, open, otherAmount, reserved, windowClosed, underWayUntil, silentUntil },
                settled: false,
                fits: reserved,
              })),
            ),
          ),
        ),
      ),
    ),
  ),
);

const allowing = (outcome: (typeof REVIEW_OUTCOMES)[number]): readonly ReviewFacts[] =>
  ALL.filter((facts) => judge(outcome, facts).kind === 'allowed');

describe('of all that may be known and shown', () => {
  it('nothing is sent again unless a reading shows its absence, it is reserved, in time and not under way', () => {
    const resent = allowing('resend');
    expect(new Set(resent.map(({ shown }) => shown.kind))).toEqual(new Set(['absent', 'notSent']));
    for (const facts of resent) {
      expect(facts).toMatchObject({ landed: false, otherAmount: false, reserved: true, windowClosed: false });
      expect([facts.underWayUntil, facts.silentUntil]).toEqual([null, null]);
    }
  });

  it('nothing is given up that landed, is shown as done or under way, or was not read', () => {
    const failed = allowing('failed');
    // But for what has no room left: what moved stays counted as moved outside.
    expect(failed.filter(({ landed, reserved, fits }) => landed && (reserved || fits))).toEqual([]);
    const still = failed.filter(({ otherAmount, open, landed }) => !landed && !(otherAmount && !open));
    expect(new Set(still.map(({ shown }) => shown.kind))).toEqual(
      new Set(['rejected', 'absent', 'notSent', 'otherAmount', 'cannotTell', 'unread']),
    );
    expect(still.filter(({ shown }) => shown === UNREAD)).toEqual([]);
    expect(still.filter(({ underWayUntil }) => underWayUntil !== null)).toEqual([]);
  });

  it('nothing succeeds that the provider shows otherwise, that does not fit, or of which another amount moved', () => {
    const succeeded = allowing('succeeded');
    expect(succeeded.filter(({ fits, otherAmount }) => !fits || otherAmount)).toEqual([]);
    const byPerson = succeeded.filter(({ landed }) => !landed);
    expect(new Set(byPerson.map(({ shown }) => shown.kind))).toEqual(
      new Set(['landed', 'cannotTell', 'incomplete', 'unread']),
    );
    expect(byPerson.filter(({ shown }) => shown === UNREAD)).toEqual([]);
    expect(
      succeeded.filter(({ landed, open, shown }) => landed && open && shown.kind === 'processing'),
    ).toEqual([]);
  });

  it('nobody decides without a reading while the provider can be read, but about what has landed', () => {
    for (const outcome of REVIEW_OUTCOMES) {
      expect(judge(outcome, { ...OPEN, shown: UNREAD })).toEqual({ kind: 'unreadable', why: 'It is down.' });
    }
    expect(judge('succeeded', { ...OPEN, shown: UNREAD, landed: true, open: false })).toEqual({
      kind: 'allowed',
    });
  });

  it('what had succeeded takes a reading, and fails only where it is not shown any more', () => {
    const settled = SHOWN.map((shown) => ({
      ...OPEN,
      shown,
      landed: true,
      settled: true,
      open: false,
      reserved: false,
    }));
    const allowed = (outcome: (typeof REVIEW_OUTCOMES)[number]) =>
      settled.filter((facts) => judge(outcome, facts).kind === 'allowed').map(({ shown }) => shown.kind);
    expect(allowed('failed')).toEqual(['rejected', 'absent']);
    expect(allowed('succeeded')).toEqual(['landed', 'absent', 'otherAmount', 'cannotTell']);
    expect(allowed('resend')).toEqual([]);
  });

  it('every refusal has a reason', () => {
    for (const facts of ALL) {
      for (const outcome of REVIEW_OUTCOMES) {
        const judgement = judge(outcome, facts);
        if (judgement.kind !== 'allowed') expect(judgement.why).toMatch(/^[A-Z].*\.$/);
      }
    }
  });
});

describe('what is shown is the same for who looks and for who decides', () => {
  it('an unclear word and an unlisted one leave it to the person', () => {
    const refund = { providerRefundId: null, amountMinor: 1, providerStatus: 'ODD' };
    for (const [status, look] of [
      ['unclear', 'unclear'],
      ['unknown', 'unknownStatus'],
    ] as const) {
      const match = { kind: 'found', matchedBy: 'id', refund: { ...refund, status } } as const;
      expect(shownByMatch(match)).toEqual(shownByLook({ kind: look, providerStatus: 'ODD' }));
      expect(shownByMatch(match)).toMatchObject({ kind: 'cannotTell', providerStatus: 'ODD' });
    }
  });

  it.each([
    ['succeeded', 'landed'],
    ['processing', 'processing'],
    ['rejected', 'rejected'],
  ] as const)('%s is %s', (status, kind) => {
    const refund = { providerRefundId: null, amountMinor: 1, providerStatus: 'X', status };
    expect(shownByMatch({ kind: 'found', matchedBy: 'amount', refund })).toEqual({ kind });
    expect(shownByLook({ kind })).toEqual({ kind });
  });
});

describe('whose the entries are', () => {
  const entry = (
    amountMinor: number,
    providerRefundId: string | null = null,
    status = 'succeeded' as const,
  ) => ({
    providerRefundId,
    amountMinor,
    status,
    providerStatus: 'X',
  });
  const owner = (refundId: string, amountMinor: number, providerRefundId: string | null = null) => ({
    refundId,
    number: 1,
    amountMinor,
    providerRefundId,
  });

  it('an id outranks an amount, and nobody owns two', () => {
    const owners = ownersOf(
      [entry(5), entry(5, 'b'), entry(5, 'c')],
      [owner('rfd_b', 5, 'b'), owner('rfd_nameless', 5)],
    );
    expect(owners.map((owned) => owned && [owned.owner.refundId, owned.by])).toEqual([
      ['rfd_nameless', 'amount'],
      ['rfd_b', 'id'],
      null,
    ]);
  });
});

describe('the advice', () => {
  const signs = (changes: Partial<ReviewSigns> = {}): ReviewSigns => ({
    endsBy: 'provider',
    settled: false,
    attempts: [{ conclusion: null, accepted: false, seen: false }],
    ...changes,
  });
  const attempt = (conclusion: ReviewSigns['attempts'][number]['conclusion'], accepted = false) => ({
    conclusion,
    accepted,
    seen: false,
  });

  it.each<[ReviewKind, ReviewSigns]>([
    ['unclear', signs()],
    ['unconfirmed', signs({ attempts: [attempt(null, true)] })],
    ['notShown', signs({ attempts: [attempt('absent'), attempt('absent')] })],
    ['otherAmount', signs({ endsBy: 'person', attempts: [attempt('other_amount')] })],
    ['lateMoney', signs({ endsBy: 'person', attempts: [attempt('landed')] })],
    ['lateMoney', signs({ endsBy: 'person' })],
    ['carriedOutTwice', signs({ endsBy: 'person', attempts: [attempt('landed'), attempt('landed')] })],
    ['doubted', signs({ endsBy: 'person', settled: true, attempts: [attempt('landed')] })],
  ])('%s', (kind, given) => {
    expect(reviewKindOf(given)).toBe(kind);
    const { toDo, neverDo } = adviceFor(kind);
    expect(toDo.length).toBeGreaterThan(0);
    expect(neverDo).toEqual(expect.arrayContaining([expect.stringContaining('by hand at the provider')]));
  });

  it('never speaks of a resend where the money may be there', () => {
    for (const kind of ['otherAmount', 'lateMoney', 'carriedOutTwice', 'doubted'] as const) {
      expect(adviceFor(kind).toDo.join(' ')).not.toMatch(/resend/);
    }
  });
});
