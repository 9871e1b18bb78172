import { describe, expect, it } from '@jest/globals';
import {
  explainRefunds,
  findRefund,
  type AttemptView,
  type OtherRefunds,
  type OurRefund,
} from './matching.js';
import type { PaymentSnapshot, ProviderRefund, ProviderRefundStatus } from './provider.js';

const OURS_MINOR = 100;

/** "a:100" has the id a; ":100" has none, as at a provider that gives its refunds no ids. */
function entry(text: string, status: ProviderRefundStatus = 'succeeded'): ProviderRefund {
  const [id, amount] = text.split(':');
  return { providerRefundId: id || null, amountMinor: Number(amount), status, providerStatus: status };
}
function shown(
  entries: readonly (string | ProviderRefund)[],
  changes: Partial<PaymentSnapshot> = {},
): PaymentSnapshot {
  return {
    status: 'refundable',
    providerStatus: 'paid',
    providerPaymentReference: null,
    amountMinor: null,
    amountMayBeReduced: false,
    currency: null,
    method: null,
    paidAtMs: null,
    refunds: entries.map((each) => (typeof each === 'string' ? entry(each) : each)),
    complete: true,
    ...changes,
  };
}
function attempt(before: readonly string[], changes: Partial<AttemptView> = {}): AttemptView {
  const view = { amountMinor: OURS_MINOR, before: shown(before), providerRefundId: null, accepted: false };
  return { ...view, onlyOneRefund: false, ...changes };
}
function others(changes: Partial<OtherRefunds> = {}): OtherRefunds {
  return {
    claimedIds: new Set(),
    landedSinceMinor: [],
    landedAroundMinor: [],
    anotherIsOpen: false,
    ...changes,
  };
}

describe('finding an attempt by difference', () => {
  it.each<[string, string[], string[], string]>([
    ['nothing new', [], [], 'absent'],
    ['what was there before is not ours, equal amount or not', [':100', ':70'], [':70', ':100'], 'absent'],
    ['one new entry of the exact amount', [':100'], [':100', ':100'], 'found :100'],
    ['one new entry with an id', ['a:100'], ['a:100', 'b:100'], 'found b:100'],
    ['one new entry of another amount', [], [':99'], 'cannotTell'],
    ['two new entries of our amount', [], ['a:100', 'b:100'], 'cannotTell'],
    ['two new entries, one of another amount', [], ['a:100', 'b:7'], 'cannotTell'],
    ['an entry from before is gone', ['a:100'], [], 'incomplete'],
    ['an entry from before is gone while a new one came', ['a:100'], ['b:100'], 'incomplete'],
    ['an entry without id from before is gone', [':70', ':100'], [':100', ':100'], 'incomplete'],
    ['an entry from before got its id', [':100'], ['a:100'], 'absent'],
    ['an entry from before got its id, and one is new', [':100'], ['a:100', 'b:100'], 'found b:100'],
    ['with ids and without, in any order', [':100', 'x:100'], ['x:100', ':100'], 'absent'],
  ])('%s', (_case, before, now, expected) => {
    const match = findRefund(attempt(before), shown(now), others());
    const what =
      match.kind === 'found' ? ` ${match.refund.providerRefundId ?? ''}:${match.refund.amountMinor}` : '';
    expect(match.kind + what).toBe(expected);
  });

  it('believes no list that may be cut, whatever it shows', () => {
    for (const now of [[], ['a:100'], ['ours:100']]) {
      const view = attempt([], { providerRefundId: 'ours' });
      expect(findRefund(view, shown(now, { complete: false }), others()).kind).toBe('incomplete');
    }
  });

  it('tells two equal partials apart that follow one another', () => {
    const first = findRefund(attempt([]), shown([':100']), others());
    expect(first).toMatchObject({ kind: 'found', matchedBy: 'amount' });
    const second = attempt([':100']);
    expect(findRefund(second, shown([':100']), others()).kind).toBe('absent');
    expect(findRefund(second, shown([':100', ':100']), others()).kind).toBe('found');
  });

  it('leaves an entry to the refund that owns its id, also where what was there before had none', () => {
    const claimed = others({ claimedIds: new Set(['theirs']) });
    expect(findRefund(attempt([]), shown(['theirs:100']), claimed).kind).toBe('absent');
    expect(findRefund(attempt([]), shown(['theirs:100', 'new:100']), claimed)).toMatchObject({
      kind: 'found',
      refund: { providerRefundId: 'new' },
    });
    expect(findRefund(attempt([':100']), shown(['theirs:100', 'panel:100']), claimed).kind).toBe('absent');
    expect(findRefund(attempt([':100']), shown(['theirs:100', ':100']), claimed).kind).toBe('absent');
  });

  it('calls nothing absent where what was under way before may have got the id of another refund since', () => {
    const view = attempt([], { before: shown([entry(':100', 'processing')]) });
    const claimed = others({ claimedIds: new Set(['theirs']) });
    expect(findRefund(view, shown(['theirs:100', entry(':100', 'processing')]), claimed).kind).toBe(
      'cannotTell',
    );
    expect(findRefund(view, shown(['theirs:100', 'new:100']), claimed).kind).toBe('cannotTell');
    expect(findRefund(view, shown(['theirs:100']), claimed).kind).toBe('absent');
    expect(findRefund(view, shown(['theirs:70', 'new:100']), claimed).kind).toBe('absent');
  });

  it('leaves one entry to each refund that landed meanwhile without an id, and waits until all are shown', () => {
    const landed = others({ landedSinceMinor: [100, 30] });
    expect(findRefund(attempt([]), shown([':100']), landed).kind).toBe('incomplete');
    expect(findRefund(attempt([]), shown([':100', ':30']), landed).kind).toBe('absent');
    expect(findRefund(attempt([]), shown([':100', ':30', ':100']), landed).kind).toBe('found');
  });

  it('adopts nothing while another attempt of the payment is open', () => {
    const open = others({ anotherIsOpen: true });
    expect(findRefund(attempt([]), shown([':100']), open).kind).toBe('cannotTell');
    expect(findRefund(attempt([]), shown([]), open).kind).toBe('absent');
  });

  it.each<ProviderRefundStatus>(['succeeded', 'processing', 'rejected', 'unclear', 'unknown'])(
    'finds by amount whatever the status says: %s',
    (status) => {
      const match = findRefund(attempt([]), shown([entry(':100', status)]), others());
      expect(match).toMatchObject({ kind: 'found', refund: { status } });
    },
  );
});

describe('equal refunds without ids that stand differently', () => {
  it.each<[string, ProviderRefundStatus[], ProviderRefundStatus[], string]>([
    [
      'what had succeeded still has: the rejected one is ours',
      ['succeeded'],
      ['rejected', 'succeeded'],
      'rejected',
    ],
    [
      'what was rejected still is: the succeeded one is ours',
      ['rejected'],
      ['succeeded', 'rejected'],
      'succeeded',
    ],
    [
      'what had succeeded still has: ours is under way',
      ['succeeded'],
      ['processing', 'succeeded'],
      'processing',
    ],
    [
      'either may have succeeded: ours is no further than the other',
      ['processing'],
      ['succeeded', 'processing'],
      'processing',
    ],
    ['either may be unclear', ['processing'], ['succeeded', 'unclear'], 'unclear'],
    ['both succeeded: ours did too', ['processing'], ['succeeded', 'succeeded'], 'succeeded'],
    ['both were rejected: ours was too', ['unclear'], ['rejected', 'rejected'], 'rejected'],
    [
      'they ended differently, and either may be ours',
      ['processing'],
      ['succeeded', 'rejected'],
      'cannotTell',
    ],
    ['one of three', ['succeeded', 'processing'], ['rejected', 'succeeded', 'succeeded'], 'cannotTell'],
  ])('%s', (_case, before, now, expected) => {
    for (const order of [now, now.toReversed()]) {
      const view = { ...attempt([]), before: shown(before.map((status) => entry(':100', status))) };
      const match = findRefund(view, shown(order.map((status) => entry(':100', status))), others());
      expect(match.kind === 'found' ? match.refund.status : match.kind).toBe(expected);
    }
  });

  it('leaves the succeeded one to a refund that landed meanwhile', () => {
    const now = shown([entry(':100', 'rejected'), entry(':100')]);
    const landed = others({ landedSinceMinor: [100] });
    expect(findRefund(attempt([]), now, landed)).toMatchObject({
      kind: 'found',
      refund: { status: 'rejected' },
    });
  });
});

describe('finding an attempt whose id the provider gave', () => {
  const known = attempt(['old:70'], { providerRefundId: 'ours', accepted: true });
  it.each<[string, string[], string]>([
    ['its entry', ['old:70', 'ours:100'], 'found'],
    ['its entry beside others of the same amount', ['x:100', 'ours:100', 'old:70', 'y:100'], 'found'],
    ['others of the same amount alone', ['x:100', 'old:70'], 'absent'],
    ['its entry with another amount', ['old:70', 'ours:10000'], 'otherAmount'],
    ['neither it nor what was there before', ['x:100'], 'incomplete'],
  ])('goes by the id alone: %s', (_case, now, kind) => {
    expect(findRefund(known, shown(now), others())).toMatchObject(
      kind === 'found' ? { kind, matchedBy: 'id' } : { kind },
    );
  });
});

describe('a provider with one refund a payment', () => {
  const only = (changes: Partial<AttemptView>): AttemptView =>
    attempt([], { onlyOneRefund: true, ...changes });

  it.each<[string, AttemptView, PaymentSnapshot, string]>([
    [
      'accepted, refundable before, refunded now',
      only({ accepted: true }),
      shown([], { status: 'refunded' }),
      'status',
    ],
    ['not accepted', only({}), shown([], { status: 'refunded' }), 'cannotTell'],
    [
      'refunded before',
      only({ accepted: true, before: shown([], { status: 'refunded' }) }),
      shown([], { status: 'refunded' }),
      'cannotTell',
    ],
    [
      'unread before',
      only({ accepted: true, before: shown([], { status: 'unknown' }) }),
      shown([], { status: 'refunded' }),
      'cannotTell',
    ],
    [
      'explained by an entry that was there before',
      only({ accepted: true, before: shown(['panel:100']) }),
      shown(['panel:100'], { status: 'refunded' }),
      'cannotTell',
    ],
    ['many refunds allowed', attempt([], { accepted: true }), shown([], { status: 'refunded' }), 'absent'],
    ['still refundable', only({ accepted: true }), shown([]), 'absent'],
    ['a status that no document lists', only({}), shown([], { status: 'unknown' }), 'incomplete'],
    ['its one entry', only({ accepted: true }), shown(['r:100'], { status: 'refunded' }), 'amount'],
    [
      'its one entry with another amount',
      only({ accepted: true }),
      shown(['r:10000'], { status: 'refunded' }),
      'otherAmount',
    ],
    [
      'a rejected entry of another amount',
      only({ accepted: true }),
      shown([entry('r:70', 'rejected')]),
      'cannotTell',
    ],
    ['another amount, and not accepted', only({}), shown(['r:10000'], { status: 'refunded' }), 'cannotTell'],
  ])('%s', (_case, view, now, expected) => {
    const match = findRefund(view, now, others());
    expect(match.kind === 'found' ? match.matchedBy : match.kind).toBe(expected);
  });
});

describe('explaining what a provider shows', () => {
  const ours = (text: string): OurRefund => {
    const { providerRefundId, amountMinor } = entry(text);
    return { refundId: `rfd_${text}`, providerRefundId, amountMinor };
  };

  it.each<[string, string[], string[], string[], string[]]>([
    ['nothing', [], [], [], []],
    ['ours by id', ['a:100'], ['a:100'], [], []],
    ['ours by amount', [':100'], [':100'], [], []],
    ['one of two equal entries is ours', [':100', ':100'], [':100'], [':100'], []],
    ['an id that we know, shown without one', [':100'], ['a:100'], [], []],
    ['an entry with another id is another refund', ['b:100'], ['a:100'], ['b:100'], ['a:100']],
    ['an id that we never learned', ['b:100'], [':100'], [], []],
    ['each takes its own, in whatever order', [':100', 'z:100'], [':100', 'a:100'], [], []],
    ['ours is not shown', ['x:70'], [':100'], ['x:70'], [':100']],
    ['more under our id than is ours', ['a:130', ':70'], ['a:100'], [':70', 'a:30'], []],
    ['less under our id than is ours', ['a:70'], ['a:100'], [], []],
  ])('%s', (_case, entries, known, external, missing) => {
    const found = explainRefunds(
      entries.map((text) => entry(text)),
      known.map(ours),
    );
    expect(found.external).toEqual(external.map((text) => entry(text)));
    expect(found.missing).toEqual(missing.map(ours));
  });

  it('counts rejected entries nowhere, and all that may have moved money', () => {
    const entries = (['succeeded', 'processing', 'unclear', 'unknown', 'rejected'] as const).map(
      (status, at) => entry(`${at}:10`, status),
    );
    expect(explainRefunds(entries, []).externalMinor).toBe(40);
    expect(explainRefunds([entry('a:10', 'rejected')], [ours('a:10')]).missing).toHaveLength(1);
  });
});
