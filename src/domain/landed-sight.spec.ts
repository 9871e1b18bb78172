import { describe, expect, it } from '@jest/globals';
import { shownInstead, sightOfLanded, type BesideLanded } from './landed-sight.js';
import type { OurRefund } from './matching.js';
import type { PaymentSnapshot, ProviderRefund } from './provider.js';

/** "a:100" has the id a; ":100!" has none and is rejected. */
function entry(text: string): ProviderRefund {
  const [, id, amount, mark] = /^(\w*):(\d+)(!?)$/.exec(text)!;
  const status = mark ? 'rejected' : 'succeeded';
  return { providerRefundId: id || null, amountMinor: Number(amount), status, providerStatus: status };
}

function ours(text: string): OurRefund {
  const { providerRefundId, amountMinor } = entry(text);
  return { refundId: `rfd_${text}`, providerRefundId, amountMinor };
}

/** How `landed[0]` is shown. */
function sight(
  landed: readonly string[],
  shown: readonly string[],
  beside: Partial<BesideLanded> & { reading?: Partial<PaymentSnapshot> } = {},
): string {
  const all = landed.map(ours);
  const { reading, ...rest } = beside;
  return sightOfLanded(
    all[0]!,
    { status: 'refundable', providerStatus: 'paid', refunds: shown.map(entry), ...reading },
    { landed: all, knownRejected: 0, anotherIsOpen: false, ...rest },
  ).kind;
}

describe('a refund of ours that had landed, as a later reading shows it', () => {
  it.each<[string, string[], string[], string]>([
    ['under its id, done', ['a:100'], ['a:100'], 'asItWas'],
    ['under its id, rejected', ['a:100'], ['a:100!'], 'negative'],
    ['under its id, with more', ['a:100'], ['a:130'], 'otherAmount'],
    ['under its id, with less', ['a:100'], ['a:70'], 'otherAmount'],
    ['its id is gone', ['a:100'], ['b:100'], 'missing'],
    ['its id is gone, and an entry without one is there', ['a:100'], [':100'], 'asItWas'],
    ['its id is gone, and a rejected entry without one is there', ['a:100'], [':100!'], 'missing'],
    ['without ids, done', [':100'], [':100', ':70'], 'asItWas'],
    ['without ids, rejected', [':100'], [':100!'], 'negative'],
    ['without ids, gone', [':100'], [':70'], 'missing'],
    [
      'without ids, one of two equals rejected: nobody can say whose',
      [':100', ':100'],
      [':100', ':100!'],
      'missing',
    ],
    ['without ids, both equals there', [':100', ':100'], [':100', ':100'], 'asItWas'],
    ['an entry that belongs to another refund of ours is not ours', [':100', 'a:100'], ['a:100'], 'missing'],
  ])('%s', (_case, landed, shown, expected) => {
    expect(sight(landed, shown)).toBe(expected);
  });

  it('is not called negative by a rejected entry that is known to be another’s', () => {
    expect(sight([':100'], [':100!'], { knownRejected: 1 })).toBe('missing');
    expect(sight([':100'], [':100!', ':100!'], { knownRejected: 1 })).toBe('negative');
  });

  it('is not judged without an id while another attempt of the payment is open', () => {
    expect(sight([':100'], [':100!'], { anotherIsOpen: true })).toBe('cannotTell');
    expect(sight(['a:100'], ['a:100!'], { anotherIsOpen: true })).toBe('negative');
  });

  it('is contained in a total, or missing from it', () => {
    expect(sight([':100', ':70'], [], { reading: { totalOnlyMinor: 170 } })).toBe('asItWas');
    expect(sight([':100', ':70'], [], { reading: { totalOnlyMinor: 100 } })).toBe('missing');
  });

  it('stands where the payment shows as refunded and lists nothing', () => {
    expect(sight([':100'], [], { reading: { status: 'refunded' } })).toBe('asItWas');
  });
});

describe('what is shown in the place of a refund of ours that is gone', () => {
  it.each<[string, string[], string[], string | undefined]>([
    ['the one new entry', [':70'], [':70', ':130'], ':130'],
    ['nothing', [':70'], [':70'], undefined],
    ['nothing that another refund of ours explains', [], ['a:50'], undefined],
    ['nothing where two entries are new', [], [':130', ':20'], undefined],
    ['nothing that was there before, under the id that it got since', [':130'], ['b:130'], undefined],
  ])('%s', (_case, before, shown, expected) => {
    const reading = { refunds: shown.map(entry) };
    const found = shownInstead(before.map(entry), reading, [ours(':100'), ours('a:50')]);
    expect(found ?? undefined).toEqual(expected === undefined ? undefined : entry(expected));
  });
});
