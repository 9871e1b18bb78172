import { describe, expect, it } from '@jest/globals';
import { compareAnswers, compareDecisions, comparePayment, compareTrips } from '../lab/comparison.js';
import type { AskStory, DiscrepancyKind, PaymentStory, RefundStory, ShownRefund } from '../lab/stories.js';

describe('the comparison of books finds', () => {
  const done: RefundStory = {
    id: 'rfd_1',
    amountMinor: 700,
    status: 'succeeded',
    reason: null,
    money: 'refunded',
    providerRefundId: null,
    attempts: ['landed'],
    resolved: null,
    approval: null,
  };
  const entry: ShownRefund = {
    id: 'e1',
    amountMinor: 700,
    status: 'succeeded',
    origin: 'api',
    hidden: false,
    fates: [],
  };
  const released = {
    status: 'failed',
    reason: 'provider_declined',
    money: 'released',
    attempts: ['declined'],
  } as const;
  const waiting = {
    status: 'pending',
    reason: 'outcome_unknown',
    money: 'reserved',
    attempts: [null],
  } as const;
  const reversed = { status: 'reversed', money: 'released', attempts: ['declined'] } as const;
  const voting = (isOver: boolean): RefundStory => ({
    ...{ ...done, status: 'requires_approval', money: 'reserved', attempts: [] },
    approval: { state: 'pending', isOver },
  });
  const reviewed = { ...waiting, status: 'review', reason: 'why' } as const;

  function story(
    refunds: readonly RefundStory[],
    shown: readonly ShownRefund[],
    more: Partial<PaymentStory> = {},
  ) {
    const sum = (money: string): number =>
      refunds
        .filter((refund) => refund.money === money)
        .reduce((all, { amountMinor }) => all + amountMinor, 0);
    return {
      ...{ id: 'pay_1', provider: 'efi', amountMinor: 2_000, refunds, shown, struck: [] },
      ledger: { refundedMinor: sum('refunded'), reservedMinor: sum('reserved'), externalMinor: 0 },
      ...more,
    };
  }

  it('nothing where both sides agree', () => {
    expect(comparePayment(story([done], [entry]))).toEqual([]);
    const panel: ShownRefund = { ...entry, id: 'e2', amountMinor: 50, origin: 'panel' };
    const ledger = { refundedMinor: 700, reservedMinor: 0, externalMinor: 50 };
    expect(comparePayment(story([done], [entry, panel], { ledger }))).toEqual([]);
    const twins = [done, { ...done, id: 'rfd_2' }];
    expect(comparePayment(story(twins, [entry, { ...entry, id: 'e2' }]))).toEqual([]);
    expect(comparePayment(story([{ ...done, ...released }], [], { struck: ['declined'] }))).toEqual([]);
    const undecided = [{ ...entry, status: 'pending' as const }];
    expect(comparePayment(story([{ ...done, ...waiting }], undecided))).toEqual([]);
    const takenBack: ShownRefund = { ...entry, status: 'rejected', fates: ['taken_back'] };
    expect(comparePayment(story([{ ...done, ...reversed }], [takenBack]))).toEqual([]);
    const gone = story([{ ...done, resolved: 'succeeded' }], [{ ...entry, hidden: true }]);
    expect(comparePayment(gone)).toEqual([]);
    const resentInVain = { ...done, ...released, attempts: ['absent', 'declined'] as const };
    expect(comparePayment(story([resentInVain], [{ ...entry, hidden: true }]))).toEqual([]);
    const late = { struck: ['too_late_effect'] };
    const landedTwice = [entry, { ...entry, id: 'e2' }];
    expect(comparePayment(story([{ ...done, ...reviewed }], landedTwice, late))).toEqual([]);
    expect(comparePayment(story([voting(false)], []))).toEqual([]);
    const unsent = { money: 'released', attempts: ['not_sent'] } as const;
    const ended = (['rejected', 'expired', 'canceled'] as const).map((status) => ({
      ...done,
      status,
      ...unsent,
    }));
    expect(comparePayment(story(ended, []))).toEqual([]);
  });

  const CASES: readonly [string, DiscrepancyKind, PaymentStory][] = [
    ['money that left twice', 'double_landing', story([done], [entry, { ...entry, id: 'e2' }])],
    [
      'money that left twice after its end, unnoticed',
      'double_landing',
      story([done], [entry, { ...entry, id: 'e2' }], { struck: ['too_late_effect'] }),
    ],
    [
      'two attempts that landed',
      'double_landing',
      story([{ ...done, attempts: ['landed', 'landed'] }], [entry]),
    ],
    ['success without money', 'succeeded_without_money', story([done], [])],
    [
      'success with money that was refused',
      'succeeded_without_money',
      story([done], [{ ...entry, status: 'rejected' }]),
    ],
    [
      'failure with money',
      'failed_with_money',
      story([{ ...done, ...released }], [entry], { struck: ['declined'] }),
    ],
    ['failure that nobody caused', 'failed_without_reason', story([{ ...done, ...released }], [])],
    ['another amount than was asked for', 'wrong_amount', story([], [entry])],
    [
      'another amount under its id',
      'wrong_amount',
      story([{ ...done, amountMinor: 800, providerRefundId: 'e1' }], [entry]),
    ],
    [
      'another amount that nobody was told of',
      'money_without_refund',
      story(
        [{ ...done, amountMinor: 800 }],
        [
          { ...entry, fates: ['other_amount'] },
          { ...entry, id: 'e2', amountMinor: 800 },
        ],
      ),
    ],
    [
      'the panel’s money taken for ours where ids tell them apart',
      'money_without_refund',
      story([{ ...done, providerRefundId: 'e1' }], [{ ...entry, origin: 'panel' }]),
    ],
    [
      'money that is not shown any more',
      'succeeded_without_money',
      story([done], [{ ...entry, hidden: true }]),
    ],
    ['a reversal that nobody made', 'failed_without_reason', story([{ ...done, ...reversed }], [])],
    [
      'money that nobody counted',
      'wrong_sum',
      story([done], [entry, { ...entry, id: 'e2', amountMinor: 50, origin: 'panel' }]),
    ],
    [
      'money of nobody that is counted',
      'wrong_sum',
      story([done], [entry], {
        struck: ['other_amount'],
        ledger: { refundedMinor: 700, reservedMinor: 0, externalMinor: 50 },
      }),
    ],
    ['a refund that is stuck', 'stuck', story([{ ...done, ...waiting }], [entry])],
    ['a refund that waits for nobody', 'stuck', story([{ ...done, ...waiting, reason: 'queued' }], [])],
    ['an approval that is open past its end', 'waits_past_end', story([voting(true)], [])],
    [
      'a refund that people ended, and its amount is still reserved',
      'reservation_kept',
      story([{ ...done, status: 'rejected', money: 'reserved', attempts: [] }], []),
    ],
    [
      'a refund that ended by time, and was sent',
      'failed_with_money',
      story([{ ...done, status: 'expired', money: 'released', attempts: [null] }], []),
    ],
    [
      'a canceled refund with money',
      'failed_with_money',
      story([{ ...done, status: 'canceled', money: 'released', attempts: ['absent'] }], [entry]),
    ],
    ['a review without a reason', 'review_without_reason', story([{ ...done, ...reviewed }], [entry])],
    [
      'a wrong sum of what was refunded',
      'wrong_sum',
      story([done], [entry], { ledger: { refundedMinor: 600, reservedMinor: 0, externalMinor: 0 } }),
    ],
    [
      'a reservation that nothing holds',
      'wrong_sum',
      story([done], [entry], { ledger: { refundedMinor: 700, reservedMinor: 1, externalMinor: 0 } }),
    ],
    [
      'external money that nobody moved',
      'wrong_sum',
      story([done], [entry], { ledger: { refundedMinor: 700, reservedMinor: 0, externalMinor: 1 } }),
    ],
  ];
  it.each(CASES)('%s', (_, kind, payment) => {
    expect(comparePayment(payment).map((each) => each.kind)).toContain(kind);
  });

  it('a provider that was stopped, and nobody shows why', () => {
    const trip = { provider: 'efi', by: 'estorno', why: 'Refund rfd_1: another amount.' };
    const booked = story([done], [{ ...entry, fates: ['other_amount'] }]);
    expect(compareTrips([trip], [booked])).toEqual([]);
    const kinds = (stories: readonly PaymentStory[], by: string) =>
      compareTrips([{ ...trip, by }], stories).map(({ kind }) => kind);
    expect(kinds([story([done], [entry])], 'estorno')).toEqual(['stopped_without_reason']);
    expect(kinds([booked], 'otto')).toEqual(['stopped_without_reason']);
  });

  it('a decision that was refused, or does not hold', () => {
    const decision = { refundId: 'rfd_1', outcome: 'succeeded', refusal: '' } as const;
    const kept = story([{ ...done, resolved: 'succeeded' }], [entry]);
    expect(compareDecisions([decision, { ...decision, outcome: 'resend' }], [kept])).toEqual([]);
    const approval = { state: 'rejected', isOver: false } as const;
    const refused = story([{ ...done, status: 'rejected', approval, resolved: 'resend' }], []);
    expect(compareDecisions([{ ...decision, outcome: 'resend' }], [refused])).toEqual([]);
    const lost = [
      { ...decision, refusal: '409' },
      { ...decision, outcome: 'failed' as const },
    ];
    expect(compareDecisions(lost, [kept]).map(({ kind }) => kind)).toEqual([
      'decision_lost',
      'decision_lost',
    ]);
  });

  const told = { status: 202, refundId: 'rfd_1', code: null };
  const ask: AskStory = { key: 'k1', paymentId: 'pay_1', amountMinor: 700, answers: [told] };
  const known = new Map([['rfd_1', { id: 'rfd_1', amountMinor: 700 }]]);
  const refused = { status: 422, refundId: null, code: 'amount_exceeds_available' };

  it('nothing where every answer holds', () => {
    expect(compareAnswers([{ ...ask, answers: [told, told] }], known, new Set())).toEqual([]);
    expect(compareAnswers([{ ...ask, answers: [refused] }], known, new Set(['pay_1']))).toEqual([]);
  });

  const ANSWERS: readonly [string, DiscrepancyKind, readonly AskStory[]][] = [
    [
      'a promised refund that is not there',
      'lost_refund',
      [{ ...ask, answers: [{ ...told, refundId: 'rfd_9' }] }],
    ],
    ['a refund of another amount', 'wrong_amount', [{ ...ask, amountMinor: 800 }]],
    [
      'a key that got two refunds',
      'two_answers',
      [{ ...ask, answers: [told, { ...told, refundId: 'rfd_2' }] }],
    ],
    ['two keys that got one refund', 'two_answers', [ask, { ...ask, key: 'k2' }]],
    ['a refusal that nothing explains', 'refused_without_reason', [{ ...ask, answers: [refused] }]],
    ['a client that was never answered', 'unanswered', [{ ...ask, answers: [] }]],
    ['a broken server', 'server_error', [{ ...ask, answers: [{ ...refused, status: 500 }] }]],
  ];
  it.each(ANSWERS)('%s', (_, kind, asks) => {
    expect(compareAnswers(asks, known, new Set()).map((each) => each.kind)).toContain(kind);
  });
});
