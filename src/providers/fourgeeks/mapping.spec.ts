import { describe, expect, it } from '@jest/globals';
import { canonicalChargeId, reasonWord, refundOutcome } from './mapping.js';
import { chargeFacts, refundsPage } from './reading.js';

const ID = '1BSt6hCqnAMAMqhvMGiBxOWe';

const text = (body: unknown) => (typeof body === 'string' ? body : JSON.stringify(body));
const http = (status: number, body: unknown) => ({ status, headers: {}, body: text(body) });
const submit = (status: number, body: unknown) =>
  refundOutcome(http(status, body), { chargeId: ID, amountMinor: 1050 }, 0);
const page = (body: unknown, status = 200) => refundsPage(http(status, body), ID, 0);
const row = (members: Record<string, unknown> = {}) => ({
  id: 'r1',
  provider_refund_id: 're_1',
  charge_id: ID,
  amount: '10.50',
  currency: 'usd',
  status: 'succeeded',
  ...members,
});
const refusal = (content: string) => ({ code: 400, title: 'Refund error', content, type: 'danger' });

describe('a refund at 4Geeks', () => {
  it.each([
    [201, row(), { kind: 'done', providerRefundId: 'r1' }],
    [200, row(), { kind: 'done', providerRefundId: 'r1' }],
    [201, row({ id: 're_9', charge_id: `ch_${ID}` }), { kind: 'done', providerRefundId: '9' }],
    [
      200,
      row({ status: 'pending' }),
      { kind: 'accepted', providerRefundId: 'r1', providerStatus: 'pending' },
    ],
    [201, row({ status: 'processing' }), { kind: 'accepted' }],
    [201, row({ status: 'failed' }), { kind: 'unknown', error: { code: 'failed' } }],
    [201, row({ amount: '105.00' }), { kind: 'unknown', error: { code: 'other_amount' } }],
    [201, row({ amount: 1050 }), { kind: 'unknown' }],
    [201, row({ amount: '1050' }), { kind: 'unknown' }],
    [201, row({ charge_id: 'other' }), { kind: 'unknown', error: { code: 'other_charge' } }],
    [201, '', { kind: 'unknown' }],
    [204, '', { kind: 'unknown' }],
    [200, '<html>', { kind: 'unknown' }],
  ])('answered %d %j', (status, body, expected) => {
    expect(submit(status, body)).toMatchObject(expected);
  });

  it('takes an amount as a number with a point', () => {
    expect(submit(201, text(row()).replace('"10.50"', '10.50'))).toMatchObject({ kind: 'done' });
  });

  it.each([
    [400, "Charge object doesn't exist.", { kind: 'declined', mayBeOurs: false }],
    [404, "Charge object doesn't exist.", { kind: 'declined', mayBeOurs: false }],
    [404, '', { kind: 'declined', mayBeOurs: false }],
    [
      400,
      'The amount provided is greater than the amount of the payment.',
      { kind: 'declined', mayBeOurs: true },
    ],
    [400, 'Charge requested is already refunded', { kind: 'declined', mayBeOurs: true }],
    [400, 'reason field is required', { kind: 'declined', mayBeOurs: false }],
    [
      409,
      'The charge requested is already paid to your account.',
      { kind: 'declined', error: { code: 'already_paid_out' } },
    ],
    [
      400,
      'The charge requested is already paid to your account.',
      { kind: 'declined', error: { code: 'already_paid_out' } },
    ],
    [401, 'x', { kind: 'notNow', reason: 'authorization_required' }],
    [403, 'x', { kind: 'notNow', reason: 'authorization_required' }],
    [400, 'something else', { kind: 'unknown' }],
    [408, 'Charge requested is already refunded', { kind: 'unknown' }],
    [429, 'Charge requested is already refunded', { kind: 'unknown' }],
    [500, 'Charge requested is already refunded', { kind: 'unknown' }],
  ])('answered %d "%s"', (status, content, expected) => {
    expect(submit(status, refusal(content))).toMatchObject(expected);
    expect(submit(status, { message: refusal(content) })).toMatchObject(expected);
  });

  it.each([400, 404, 409])('is unknown where %d comes with a page', (status) => {
    expect(submit(status, '<html></html>')).toMatchObject({ kind: 'unknown' });
  });

  it('has three words for a reason', () => {
    expect(reasonWord('duplicate')).toBe('duplicate');
    expect(reasonWord('fraudulent')).toBe('fraudulent');
    for (const reason of ['requested_by_customer', 'bank_error', 'pix_withdrawal'] as const) {
      expect(reasonWord(reason)).toBe('requested_by_customer');
    }
  });

  it('names charges without ch_', () => {
    expect(canonicalChargeId(`ch_${ID}`)).toBe(ID);
    expect(canonicalChargeId('ch_')).toBeNull();
  });
});

describe('the list of refunds at 4Geeks', () => {
  it('keeps this charge’s rows alone, whatever the others look like', () => {
    expect(page([row(), { charge_id: 'other', amount: 7 }])).toMatchObject({
      kind: 'page',
      rows: [{ id: 'r1' }],
      next: null,
      cut: false,
    });
  });

  it('follows an envelope to its end', () => {
    expect(page({ items: [row()], total_items: 3, limit: 1, offset: 0 })).toMatchObject({
      next: { limit: 1, offset: 1 },
    });
    expect(page({ items: [row()], total_items: 3, limit: 1, offset: 2 })).toMatchObject({
      next: null,
      cut: false,
    });
    expect(page({ items: [], total_items: 3, limit: 1, offset: 1 })).toMatchObject({ next: null, cut: true });
  });

  it.each([
    ['<html>', 200, 'unreadable'],
    ['[', 200, 'unreadable'],
    [{ results: [] }, 200, 'unreadable'],
    [[row({ amount: 1050 })], 200, 'unreadable'],
    [[row({ amount: '10' })], 200, 'unreadable'],
    [[row({ charge_id: undefined })], 200, 'unreadable'],
    [refusal("Charge object doesn't exist."), 400, 'notFound'],
    [refusal('x'), 404, 'notFound'],
    ['<html>', 404, 'unreadable'],
    ['', 401, 'unavailable'],
    ['', 500, 'unavailable'],
  ])('answered %j with %d is %s', (body, status, kind) => {
    expect(page(body, status)).toMatchObject({ kind });
  });
});

describe('a charge at 4Geeks', () => {
  it.each([403, 404, 405])('counts as not read on %d', (status) => {
    expect(chargeFacts(http(status, ''), 0)).toMatchObject({
      kind: 'facts',
      facts: { status: null, amountMinor: null },
    });
  });

  it('has an amount only with a point', () => {
    expect(
      chargeFacts(http(200, { amount: '10.50', currency: 'usd', status: 'succeeded' }), 0),
    ).toMatchObject({
      facts: { amountMinor: 1050, currency: 'USD', status: 'succeeded' },
    });
    expect(chargeFacts(http(200, { amount: 1050 }), 0)).toMatchObject({ facts: { amountMinor: null } });
  });

  it.each([
    ['', 401, 'unavailable'],
    ['', 503, 'unavailable'],
    ['<html>', 200, 'unreadable'],
    ['', 302, 'unreadable'],
  ])('answered %j with %d is %s', (body, status, kind) => {
    expect(chargeFacts(http(status, body), 0)).toMatchObject({ kind });
  });
});
