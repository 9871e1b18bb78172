import { describe, expect, it } from '@jest/globals';
import { paymentRead, refundOutcome, webhookPaymentId } from './mapping.js';

const ID = '34fc280a-8b98-44c9-bc8f-5911bbeef952';

const text = (body: unknown) => (typeof body === 'string' ? body : JSON.stringify(body));
const submit = (status: number, body: unknown) => refundOutcome({ status, headers: {}, body: text(body) }, 0);
const read = (body: unknown, status = 200) => paymentRead({ status, headers: {}, body: text(body) }, ID, 0);
const sale = (members: Record<string, unknown> = {}) => ({
  MerchantOrderId: '1',
  Payment: { PaymentId: ID.toUpperCase(), Amount: 1000, Status: 2, Type: 'Pix', ...members },
});

describe('a refund at Braspag', () => {
  it.each([
    [2, 8],
    [2, '8'],
    [2, '08'],
    [2, 9],
    [2, 0],
    [12, '00'],
    [10, 0],
    [11, 0],
  ])('is accepted with Status %p and ReasonCode %p', (Status, ReasonCode) => {
    expect(submit(200, { Status, ReasonCode, ReasonMessage: 'Scheduled' })).toMatchObject({
      kind: 'accepted',
      providerRefundId: null,
    });
  });

  it.each([
    { ReasonCode: 2, ReasonMessage: 'InsufficientFunds' },
    { ReasonCode: 99, ReasonMessage: 'Merchant has insufficient balance for refund' },
    { ReasonCode: 7, ProviderReturnMessage: 'Merchant has insufficient balance for refund' },
  ])('waits for balance on %p', (body) => {
    expect(submit(200, { Status: 2, ...body })).toMatchObject({
      kind: 'notNow',
      reason: 'insufficient_balance',
    });
  });

  it.each([
    [5, false],
    [7, false],
    [19, true],
    [24, false],
  ])('is declined with ReasonCode %d', (ReasonCode, mayBeOurs) => {
    expect(submit(200, { Status: 2, ReasonCode })).toMatchObject({ kind: 'declined', mayBeOurs });
  });

  it.each([1, 4, 18, 20, 22, 34, 98, 99, null, 'x'])('is unknown with ReasonCode %p', (ReasonCode) => {
    expect(submit(200, { Status: 2, ReasonCode })).toMatchObject({ kind: 'unknown' });
  });

  it.each([0, 1, 3, 13, 20, null])('is unknown with ReasonCode 0 and Status %p', (Status) => {
    expect(submit(200, { Status, ReasonCode: 0 })).toMatchObject({ kind: 'unknown' });
  });

  it('is unknown where codes and words contradict each other', () => {
    const body = { Status: 2, ReasonCode: 8, ReasonMessage: 'Merchant has insufficient balance for refund' };
    expect(submit(200, body)).toMatchObject({ kind: 'unknown' });
    expect(submit(400, { Status: 2, ReasonCode: 8 })).toMatchObject({ kind: 'unknown' });
  });

  it.each([
    ...[101, 114, 115, 131, 132, 116, 306, 120, 301].map(
      (code) => [code, { kind: 'notNow', reason: 'authorization_required' }] as const,
    ),
    [307, { kind: 'declined', mayBeOurs: false }] as const,
    [309, { kind: 'declined', mayBeOurs: true }] as const,
    [312, { kind: 'declined', mayBeOurs: true }] as const,
    [310, { kind: 'declined', mayBeOurs: false }] as const,
    [311, { kind: 'declined', mayBeOurs: false }] as const,
    [100, { kind: 'unknown' }] as const,
    [9999, { kind: 'unknown' }] as const,
  ])('answered with the error %d', (Code, expected) => {
    expect(submit(400, [{ Code, Message: 'm' }])).toMatchObject({
      ...expected,
      error: { code: String(Code) },
    });
  });

  it('waits for balance where the error list says so', () => {
    const body = [{ Code: 1, Message: 'Merchant has insufficient balance for refund' }];
    expect(submit(400, body)).toMatchObject({ kind: 'notNow', reason: 'insufficient_balance' });
  });

  it.each([
    [401, '', 'notNow'],
    [403, '', 'notNow'],
    [404, '', 'unknown'],
    [408, '', 'unknown'],
    [429, '', 'unknown'],
    [500, { Status: 2, ReasonCode: 8 }, 'unknown'],
    [503, [{ Code: 307, Message: 'm' }], 'unknown'],
    [200, '<html>', 'unknown'],
    [200, '', 'unknown'],
    [302, '', 'unknown'],
  ])('answered %d %j is %s', (status, body, kind) => {
    expect(submit(status, body)).toMatchObject({ kind });
  });
});

describe('a payment at Braspag', () => {
  it.each([
    [0, 'notRefundable'],
    [1, 'notRefundable'],
    [2, 'refundable'],
    [3, 'notRefundable'],
    [10, 'refunded'],
    [11, 'refunded'],
    [12, 'notRefundable'],
    [13, 'notRefundable'],
    [20, 'notRefundable'],
    [77, 'unknown'],
  ])('with Status %d is %s', (Status, expected) => {
    expect(read(sale({ Status }))).toMatchObject({
      snapshot: { status: expected, providerStatus: String(Status) },
    });
  });

  it.each([
    [0, 'unclear'],
    [1, 'processing'],
    [2, 'processing'],
    [3, 'succeeded'],
    [4, 'rejected'],
    [5, 'unknown'],
  ])('shows a refund with Status %d as %s', (Status, expected) => {
    expect(read(sale({ Refunds: [{ Amount: 10, Status }] }))).toMatchObject({
      snapshot: { complete: true, refunds: [{ providerRefundId: null, amountMinor: 10, status: expected }] },
    });
  });

  it.each([
    ['no refund', {}, [], true],
    ['a refunded status without any amount', { Status: 11, Amount: null }, [], false],
    [
      'a voided amount above the list',
      { VoidedAmount: 300, Refunds: [{ Amount: 100, Status: 3 }] },
      [100],
      false,
    ],
    [
      'a voided amount that the list explains',
      { VoidedAmount: 100, Refunds: [{ Amount: 100, Status: 3 }] },
      [100],
      true,
    ],
    ['a full refund that the list does not show', { Status: 11, Refunds: [] }, [], false],
  ])('with %s', (_what, members, amounts, complete) => {
    const result = read(sale(members));
    if (result.kind !== 'found') throw new Error(result.detail);
    expect(result.snapshot.refunds.map((refund) => refund.amountMinor)).toEqual(amounts);
    expect(result.snapshot.complete).toBe(complete);
  });

  it.each([
    [{ VoidedAmount: 300 }, 300],
    [{ Status: 11 }, 1000],
  ])('shows a total alone where it lists no refunds: %j', (members, totalOnlyMinor) => {
    expect(read(sale(members))).toMatchObject({ snapshot: { complete: true, refunds: [], totalOnlyMinor } });
  });

  it('was paid when it was captured, else when it was received, in the providers’ zone', () => {
    const dates = { CapturedDate: '2026-01-02 03:04:05', ReceivedDate: '2026-01-01 00:00:00' };
    expect(read(sale(dates))).toMatchObject({ snapshot: { paidAtMs: Date.parse('2026-01-02T06:04:05Z') } });
    expect(read(sale({ ReceivedDate: dates.ReceivedDate }))).toMatchObject({
      snapshot: { paidAtMs: Date.parse('2026-01-01T03:00:00Z') },
    });
  });

  it.each([
    ['', 404, 'notFound'],
    ['null', 404, 'notFound'],
    ['<html>', 404, 'unreadable'],
    [[{ Code: 307, Message: 'm' }], 400, 'notFound'],
    [[{ Code: 132, Message: 'm' }], 400, 'unavailable'],
    [[{ Code: 1, Message: 'm' }], 400, 'unreadable'],
    ['<html>', 200, 'unreadable'],
    [sale({ PaymentId: 'ffffffff-8b98-44c9-bc8f-5911bbeef952' }), 200, 'unreadable'],
    [sale({ Amount: 10.5 }), 200, 'unreadable'],
    [sale({ Amount: '1000' }), 200, 'unreadable'],
    [sale({ Refunds: [{ Amount: 1 }] }), 200, 'unreadable'],
    [text(sale()).slice(0, -2), 200, 'unreadable'],
  ])('answered %j with %d is %s', (body, status, kind) => {
    expect(read(body, status)).toMatchObject({ kind });
  });
});

describe('Braspag notifications', () => {
  it('name the payment', () => {
    expect(webhookPaymentId(text({ PaymentId: ID.toUpperCase(), ChangeType: 1 }))).toEqual({
      kind: 'hint',
      providerPaymentId: ID,
    });
    expect(webhookPaymentId('{"ChangeType":2}')).toEqual({ kind: 'hint', providerPaymentId: null });
    expect(webhookPaymentId('x')).toMatchObject({ kind: 'malformed' });
  });
});
