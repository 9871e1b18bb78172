import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  decideEligibility,
  UNLIMITED,
  type DailyLimits,
  type EligibilityFacts,
  type EligibilityRequest,
} from './eligibility.js';
import type { Payment } from './payment.js';
import type { PaymentSnapshot, ProviderCapabilities, ProviderRefund } from './provider.js';
import { ELIGIBILITY_CODES } from './refund.js';

const NOW_MS = Date.UTC(2026, 0, 10);

const capabilities: ProviderCapabilities = {
  idempotentSubmit: false,
  partials: 'many',
  confirmation: 'read',
  defaultMethod: 'pix',
  methods: ['pix'],
  currencies: ['BRL'],
  readsUnregistered: true,
};
const payment = (changes: Partial<Payment> = {}): Payment => ({
  id: 'pay_1',
  provider: 'acme',
  providerPaymentId: 'p-1',
  providerPaymentReference: 'order-1',
  amountMinor: 10_000,
  currency: 'BRL',
  method: 'pix',
  paidAtMs: NOW_MS - 86_400_000,
  reference: null,
  metadata: {},
  refundedMinor: 0,
  reservedMinor: 0,
  externalMinor: 0,
  createdAtMs: NOW_MS,
  ...changes,
});
const snapshot = (changes: Partial<PaymentSnapshot> = {}): PaymentSnapshot => ({
  status: 'refundable',
  providerStatus: 'paid',
  providerPaymentReference: 'order-1',
  amountMinor: 10_000,
  amountMayBeReduced: false,
  currency: 'BRL',
  method: 'pix',
  paidAtMs: null,
  refunds: [],
  complete: true,
  ...changes,
});
const facts = (changes: Partial<EligibilityFacts> = {}): EligibilityFacts => ({
  payment: payment(),
  capabilities,
  providerEnabled: true,
  snapshot: snapshot(),
  unknownAtProvider: false,
  window: { deadlineMs: NOW_MS + 60_000, submitBeforeMs: NOW_MS + 1 },
  liveRefunds: 0,
  limits: UNLIMITED,
  nowMs: NOW_MS,
  ...changes,
});
const request = (changes: Partial<EligibilityRequest> = {}): EligibilityRequest => ({
  amountMinor: 4_000,
  currency: null,
  expectedRefundableMinor: null,
  ...changes,
});
const refunded = (amountMinor: number, status: ProviderRefund['status'] = 'succeeded'): ProviderRefund => ({
  providerRefundId: null,
  amountMinor,
  status,
  providerStatus: status,
});
/** Of 10,000 each; the other is unlimited. */
const limits = (used: { byActor?: number; byProvider?: number }): DailyLimits => ({
  byActor: used.byActor === undefined ? null : { limitMinor: 10_000, usedMinor: used.byActor },
  byProvider: used.byProvider === undefined ? null : { limitMinor: 10_000, usedMinor: used.byProvider },
});
const brokenCodes = (asked: EligibilityRequest, known: EligibilityFacts): string[] =>
  decideEligibility(asked, known).broken.map(({ code }) => code);

describe('each rule alone', () => {
  it.each<[string, EligibilityRequest, EligibilityFacts, string[]]>([
    ['nothing is broken', request(), facts(), []],
    ['all of it', request({ amountMinor: 10_000 }), facts(), []],
    ['the provider is off', request(), facts({ providerEnabled: false }), ['provider_not_enabled']],
    ['the provider could not be read', request(), facts({ snapshot: null }), []],
    [
      'the provider knows no such payment',
      request(),
      facts({ snapshot: null, unknownAtProvider: true }),
      ['payment_facts_mismatch'],
    ],
    [
      'another currency there',
      request(),
      facts({ snapshot: snapshot({ currency: 'USD' }) }),
      ['payment_facts_mismatch'],
    ],
    [
      'another amount there',
      request(),
      facts({ snapshot: snapshot({ amountMinor: 9_999 }) }),
      ['payment_facts_mismatch'],
    ],
    [
      'another reference there',
      request(),
      facts({ snapshot: snapshot({ providerPaymentReference: 'order-2' }) }),
      ['payment_facts_mismatch'],
    ],
    [
      'facts that the provider does not show',
      request(),
      facts({ snapshot: snapshot({ currency: null, amountMinor: null, providerPaymentReference: null }) }),
      [],
    ],
    [
      'a reference that was never registered',
      request(),
      facts({ payment: payment({ providerPaymentReference: null }) }),
      [],
    ],
    [
      'another time of payment is no contradiction',
      request(),
      facts({ snapshot: snapshot({ paidAtMs: 0 }) }),
      [],
    ],
    [
      'not paid there',
      request(),
      facts({ snapshot: snapshot({ status: 'notRefundable' }) }),
      ['payment_not_refundable'],
    ],
    [
      'a status that no document lists, which is no refusal',
      request(),
      facts({ snapshot: snapshot({ status: 'unknown' }) }),
      [],
    ],
    [
      'a millisecond before sending ends',
      request(),
      facts({ window: { deadlineMs: NOW_MS + 1, submitBeforeMs: NOW_MS + 1 } }),
      [],
    ],
    [
      'the instant at which sending ends',
      request(),
      facts({ window: { deadlineMs: NOW_MS + 1, submitBeforeMs: NOW_MS } }),
      ['refund_window_expired'],
    ],
    ['no window', request(), facts({ window: null }), []],
    [
      'part of it where only all goes',
      request(),
      facts({ capabilities: { ...capabilities, partials: 'none' } }),
      ['partial_not_supported'],
    ],
    [
      'all of it where only all goes',
      request({ amountMinor: 10_000 }),
      facts({ capabilities: { ...capabilities, partials: 'none' } }),
      [],
    ],
    ['another currency asked', request({ currency: 'USD' }), facts(), ['currency_mismatch']],
    ['the payment’s currency asked', request({ currency: 'BRL' }), facts(), []],
    [
      'a currency that the provider does not refund',
      request(),
      facts({ payment: payment({ currency: 'USD' }), snapshot: null }),
      ['currency_mismatch'],
    ],
    [
      'a provider without a limit on currencies',
      request(),
      facts({
        payment: payment({ currency: 'USD' }),
        snapshot: null,
        capabilities: { ...capabilities, currencies: null },
      }),
      [],
    ],
    ['one centavo too much', request({ amountMinor: 10_001 }), facts(), ['amount_exceeds_available']],
    ['nothing', request({ amountMinor: 0 }), facts(), ['amount_exceeds_available']],
    ['less than nothing', request({ amountMinor: -1 }), facts(), ['amount_exceeds_available']],
    [
      'what moved without us counts',
      request(),
      facts({ payment: payment({ externalMinor: 6_001 }) }),
      ['amount_exceeds_available'],
    ],
    [
      'what is reserved counts',
      request(),
      facts({ payment: payment({ reservedMinor: 6_001 }) }),
      ['amount_exceeds_available'],
    ],
    [
      'the expected amount is stale',
      request({ expectedRefundableMinor: 9_999 }),
      facts(),
      ['refundable_amount_mismatch'],
    ],
    ['all that a limit leaves', request(), facts({ limits: limits({ byActor: 6_000 }) }), []],
    [
      'one centavo more than the requester’s limit leaves',
      request({ amountMinor: 4_001 }),
      facts({ limits: limits({ byActor: 6_000 }) }),
      ['limit_exceeded'],
    ],
    [
      'one centavo more than the provider’s limit leaves',
      request({ amountMinor: 4_001 }),
      facts({ limits: limits({ byProvider: 6_000 }) }),
      ['limit_exceeded'],
    ],
    [
      'no amount, and all that is left is more than a limit leaves',
      request({ amountMinor: null }),
      facts({ limits: limits({ byProvider: 6_000 }) }),
      ['limit_exceeded'],
    ],
    ['the expected amount is right', request({ expectedRefundableMinor: 10_000 }), facts(), []],
  ])('%s', (_case, asked, known, codes) => {
    expect(brokenCodes(asked, known)).toEqual(codes);
  });
});

describe('all rules together', () => {
  const hopeless = facts({
    providerEnabled: false,
    capabilities: { ...capabilities, partials: 'none' },
    snapshot: snapshot({ status: 'notRefundable', amountMinor: 1 }),
    window: { deadlineMs: NOW_MS, submitBeforeMs: NOW_MS },
    payment: payment({ refundedMinor: 9_000 }),
    limits: limits({ byActor: 10_000, byProvider: 9_999 }),
  });

  it('names everything that is broken, in the contract’s order, each with its member of the request', () => {
    const { broken, rules } = decideEligibility(request({ currency: 'USD' }), hopeless);
    expect(broken.map(({ code, pointer }) => [code, pointer])).toEqual([
      ['provider_not_enabled', ''],
      ['payment_facts_mismatch', ''],
      ['payment_not_refundable', ''],
      ['refund_window_expired', ''],
      ['partial_not_supported', '/amount'],
      ['currency_mismatch', '/currency'],
      ['amount_exceeds_available', '/amount'],
      ['limit_exceeded', '/amount'],
    ]);
    expect(rules.map(({ code }) => code)).toEqual([...ELIGIBILITY_CODES]);
  });

  it('is silent about a stale precondition where anything else is broken, and still shows the rule as failed', () => {
    const { broken, rules } = decideEligibility(
      request({ expectedRefundableMinor: 1 }),
      facts({ providerEnabled: false }),
    );
    expect(broken.map(({ code }) => code)).toEqual(['provider_not_enabled']);
    expect(rules.at(-1)).toMatchObject({ code: 'refundable_amount_mismatch', passed: false });
  });

  it.each<[string, number | null]>([
    ['without an amount', null],
    ['with one', 10_000],
  ])('says that nothing is left by the amount alone, %s', (_case, amountMinor) => {
    for (const partials of ['none', 'one', 'many'] as const) {
      const known = facts({
        payment: payment({ refundedMinor: 10_000 }),
        snapshot: snapshot({ status: 'refunded' }),
        capabilities: { ...capabilities, partials },
        liveRefunds: 1,
      });
      expect(brokenCodes(request({ amountMinor }), known)).toEqual(['amount_exceeds_available']);
    }
  });
});

describe('the daily limits', () => {
  const ruleOf = (known: EligibilityFacts) =>
    decideEligibility(request(), known).rules.find(({ code }) => code === 'limit_exceeded');

  it('are told with what is used of them, passed or not', () => {
    expect(ruleOf(facts({ limits: limits({ byActor: 1, byProvider: 9_000 }) }))).toMatchObject({
      passed: false,
      detail: "4000 are asked for; the provider's daily limit is 10000, of which 9000 are used today.",
      numbers: {
        amount: 4_000,
        daily_by_actor: 10_000,
        used_by_actor: 1,
        daily_by_provider: 10_000,
        used_by_provider: 9_000,
      },
    });
    expect(ruleOf(facts({ limits: limits({ byActor: 0 }) }))).toMatchObject({
      passed: true,
      detail: 'The amount fits into the daily limits.',
      numbers: { daily_by_actor: 10_000, used_by_actor: 0, daily_by_provider: null, used_by_provider: null },
    });
    expect(ruleOf(facts())).toMatchObject({ passed: true, detail: 'No daily limit is set.' });
  });

  it('are both named where both are exceeded', () => {
    expect(ruleOf(facts({ limits: limits({ byActor: 7_000, byProvider: 8_000 }) }))?.detail).toBe(
      "4000 are asked for; the requester's daily limit is 10000, of which 7000 are used today; " +
        "the provider's daily limit is 10000, of which 8000 are used today.",
    );
  });
});

describe('a payment that shows as refunded', () => {
  it.each<[string, Partial<Payment>, string[]]>([
    ['by a refund of ours that is done', { refundedMinor: 5_000 }, []],
    ['by a refund of ours that is under way', { reservedMinor: 5_000 }, []],
    ['by nothing of ours', {}, ['payment_not_refundable']],
    ['by money that moved without us', { externalMinor: 5_000 }, ['payment_not_refundable']],
  ])('%s', (_case, moved, codes) => {
    const known = facts({ payment: payment(moved), snapshot: snapshot({ status: 'refunded' }) });
    expect(brokenCodes(request(), known)).toEqual(codes);
  });
});

describe('a provider with one refund a payment', () => {
  it.each<[string, Partial<EligibilityFacts>, number]>([
    ['none yet: any part of it', {}, 10_000],
    ['one of ours is live or done', { liveRefunds: 1 }, 0],
    ['one moved without us', { payment: payment({ externalMinor: 1 }) }, 0],
  ])('%s', (_case, changes, refundable) => {
    const known = facts({ capabilities: { ...capabilities, partials: 'one' }, ...changes });
    const decision = decideEligibility(request(), known);
    expect(decision.refundableMinor).toBe(refundable);
    expect(decision.broken.map(({ code }) => code)).toEqual(
      refundable === 0 ? ['amount_exceeds_available'] : [],
    );
  });
});

describe('an amount that may be shown less its refunds', () => {
  it.each<[string, number, ProviderRefund[], boolean]>([
    ['as registered', 10_000, [refunded(3_000)], true],
    ['less what succeeded', 7_000, [refunded(3_000)], true],
    ['less what is being processed', 7_000, [refunded(3_000, 'processing')], true],
    ['less several', 5_000, [refunded(3_000), refunded(2_000)], true],
    ['a rejected refund explains nothing', 7_000, [refunded(3_000, 'rejected')], false],
    ['less what no document lists', 7_000, [refunded(3_000, 'unknown')], true],
    ['not yet less what is unclear', 8_000, [refunded(2_000), refunded(3_000, 'unclear')], true],
    ['more than is left for certain', 8_001, [refunded(2_000), refunded(3_000, 'unclear')], false],
    ['another amount', 6_999, [refunded(3_000)], false],
    ['more than registered', 10_001, [], false],
  ])('%s', (_case, amountMinor, refunds, agrees) => {
    const known = facts({ snapshot: snapshot({ amountMinor, refunds, amountMayBeReduced: true }) });
    expect(brokenCodes(request(), known)).toEqual(agrees ? [] : ['payment_facts_mismatch']);
  });

  it('is a contradiction where the provider shows the original amount', () => {
    const known = facts({ snapshot: snapshot({ amountMinor: 7_000, refunds: [refunded(3_000)] }) });
    expect(brokenCodes(request(), known)).toEqual(['payment_facts_mismatch']);
  });
});

it('never lets out more than is refundable, nor nothing, whatever is asked and known', () => {
  const amount = fc.integer({ min: 0, max: 20_000 });
  fc.assert(
    fc.property(
      fc.option(fc.integer({ min: -1, max: 20_000 })),
      fc.option(amount),
      fc.record({ refundedMinor: amount, reservedMinor: amount, externalMinor: amount }),
      fc.constantFrom('none' as const, 'one' as const, 'many' as const),
      fc.nat({ max: 2 }),
      fc.record({ byActor: amount, byProvider: amount }, { requiredKeys: [] }),
      (amountMinor, expectedRefundableMinor, moved, partials, liveRefunds, used) => {
        const known = facts({
          payment: payment(moved),
          capabilities: { ...capabilities, partials },
          liveRefunds,
          limits: limits(used),
        });
        const decision = decideEligibility(request({ amountMinor, expectedRefundableMinor }), known);
        if (decision.broken.length > 0) return;
        const left = 10_000 - moved.refundedMinor - moved.reservedMinor - moved.externalMinor;
        expect(decision.amountMinor).toBeGreaterThan(0);
        expect(decision.amountMinor).toBeLessThanOrEqual(left);
        expect(decision.amountMinor).toBe(amountMinor ?? left);
        expect(partials !== 'many' && liveRefunds > 0).toBe(false);
        expect(expectedRefundableMinor ?? left).toBe(left);
        expect(decision.amountMinor + (used.byActor ?? 0)).toBeLessThanOrEqual(10_000);
        expect(decision.amountMinor + (used.byProvider ?? 0)).toBeLessThanOrEqual(10_000);
      },
    ),
    { numRuns: 2_000 },
  );
});
