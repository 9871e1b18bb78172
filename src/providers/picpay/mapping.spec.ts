import { describe, expect, it } from '@jest/globals';
import { paymentRead, refundOutcome } from './mapping.js';

const ID = 'e646263b-2b4d-4b2c-93d8-2568fbffb744';
const payment = { providerPaymentId: ID, providerPaymentReference: null, paymentId: null, paidAtMs: null };

const submit = (status: number, body: unknown = '', headers: Record<string, string> = {}) =>
  refundOutcome({ status, headers, body: typeof body === 'string' ? body : JSON.stringify(body) }, 0);
const read = (body: unknown, status = 200) =>
  paymentRead(
    { status, headers: {}, body: typeof body === 'string' ? body : JSON.stringify(body) },
    payment,
    0,
  );

function whole(members: Record<string, unknown> = {}, transaction: Record<string, unknown> = {}) {
  return {
    id: 'pay-1',
    reference_id: 'order-1',
    status: 'PAID',
    created_at: '2026-01-02 03:04:05',
    paid_at: '2026-01-02 03:05:05',
    value: 100.5,
    refunded_value: 0,
    transactions: [{ id: ID.toUpperCase(), value: 100.5, status: 'PAID', refunds: [], ...transaction }],
    ...members,
  };
}

describe('a refund at PicPay', () => {
  it.each(['', '{}', 'OK', '{"transaction_id":"another"}'])(
    'is done on 200, whatever the body: %j',
    (body) => {
      expect(submit(200, body)).toEqual({ kind: 'done', providerRefundId: null, providerStatus: 'HTTP 200' });
    },
  );

  it('is unknown where 200 comes with the words of refusal', () => {
    expect(submit(200, { message: 'Transaction could not be refund' })).toMatchObject({ kind: 'unknown' });
  });

  it('is still running under the same key on 208', () => {
    expect(submit(208)).toMatchObject({ kind: 'unknown', error: { code: 'same_key_still_processing' } });
  });

  it.each([
    [400, 'DUPLICATED_TRANSACTION', true],
    [400, undefined, true],
    [403, 'FUNDING_SOURCE_UNAVAILABLE', false],
    [403, undefined, false],
    [404, 'TRANSACTION_NOT_FOUND', false],
    [404, undefined, false],
    [406, 'REFUND_EXCEEDS_LIMIT', true],
    [406, undefined, true],
    [422, 'INVALID_INPUT', false],
    [422, undefined, false],
  ])('is declined on %d %s', (status, business_code, mayBeOurs) => {
    expect(submit(status, { message: 'm', business_code })).toEqual({
      kind: 'declined',
      mayBeOurs,
      error: { code: business_code ?? `http_${status}`, message: 'm' },
    });
  });

  it.each([400, 405, 409, 418])('is declined on %d with the document’s own message', (status) => {
    expect(submit(status, { message: 'Transaction could not be refund' })).toMatchObject({
      kind: 'declined',
      mayBeOurs: false,
    });
  });

  it('needs authorization on 401', () => {
    expect(submit(401, { message: 'x' })).toMatchObject({ kind: 'notNow', reason: 'authorization_required' });
  });

  it.each([408, 429, 500, 502, 503])('is unknown on %d, even with a message of refusal', (status) => {
    expect(
      submit(status, { message: 'Transaction could not be refund' }, { 'retry-after': '2' }),
    ).toMatchObject({
      kind: 'unknown',
      retryAfterMs: 2000,
    });
  });

  it.each([
    [201, '{}'],
    [202, ''],
    [204, ''],
    [302, ''],
    [409, '{}'],
    [410, ''],
    [403, '<html>blocked</html>'],
    [404, '<html></html>'],
  ])('is unknown on the undocumented %d %s', (status, body) => {
    expect(submit(status, body)).toMatchObject({ kind: 'unknown' });
  });
});

describe('a payment at PicPay', () => {
  it.each([
    ['AUTHORIZED', 'notRefundable'],
    ['EXPIRED', 'notRefundable'],
    ['CANCELLED', 'notRefundable'],
    ['ERROR', 'notRefundable'],
    ['PAID', 'refundable'],
    ['PARTIALLY_REFUNDED', 'refundable'],
    ['REFUNDED', 'refunded'],
    ['paid', 'unknown'],
    ['constructor', 'unknown'],
  ])('with status %s is %s', (status, expected) => {
    expect(read(whole({ status }))).toMatchObject({
      kind: 'found',
      snapshot: { status: expected, providerStatus: status },
    });
  });

  it('takes amount and refunds from our transaction', () => {
    const body = whole(
      { status: 'PARTIALLY_REFUNDED', refunded_value: 10.1 },
      { value: 80, refunds: [{ id: 'r1', value: 10.1, created_at: '2026-01-03 00:00:00' }] },
    );
    expect(read(body)).toEqual({
      kind: 'found',
      snapshot: {
        status: 'refundable',
        providerStatus: 'PARTIALLY_REFUNDED',
        providerPaymentReference: 'order-1',
        amountMinor: 8000,
        amountMayBeReduced: false,
        currency: 'BRL',
        method: null,
        paidAtMs: Date.parse('2026-01-02T06:05:05Z'),
        refunds: [
          { providerRefundId: 'r1', amountMinor: 1010, status: 'succeeded', providerStatus: 'listed' },
        ],
        complete: true,
      },
    });
  });

  it.each([
    ['a total that the list does not reach', { refunded_value: 5 }, { refunds: [{ id: 'r', value: 1 }] }],
    ['a refunded status without a refund', { status: 'REFUNDED', refunded_value: null }, { refunds: [] }],
    [
      'a refunded status without list and total',
      { status: 'REFUNDED', refunded_value: null },
      { refunds: null },
    ],
  ])('is incomplete with %s', (_what, members, transaction) => {
    expect(read(whole(members, transaction))).toMatchObject({ snapshot: { complete: false } });
  });

  it('shows a total alone where it lists no refunds, if the payment has one transaction', () => {
    expect(read(whole({ refunded_value: 5, transactions: undefined }))).toMatchObject({
      snapshot: {
        amountMinor: 10050,
        complete: true,
        refunds: [],
        totalOnlyMinor: 500,
      },
    });
    const two = [
      { id: ID, value: 1 },
      { id: 'other', value: 2 },
    ];
    expect(read(whole({ refunded_value: 5, transactions: two }))).toMatchObject({
      snapshot: { complete: false, refunds: [] },
    });
  });

  it.each([
    ['another transaction', whole({}, { id: 'other' })],
    ['a page', '<html></html>'],
    ['a cut body', JSON.stringify(whole()).slice(0, -10)],
    ['an amount as text', whole({}, { value: '100.50' })],
    ['a refund without a readable amount', whole({}, { refunds: [{ id: 'r', value: 1e-3 }] })],
    ['no status', whole({ status: undefined })],
  ])('is unreadable with %s', (_what, body) => {
    expect(read(body)).toMatchObject({ kind: 'unreadable' });
  });

  it('is not found on 404, but for a page that is not PicPay’s', () => {
    expect(read({ message: 'x', business_code: 'TRANSACTION_NOT_FOUND' }, 404)).toMatchObject({
      kind: 'notFound',
    });
    expect(read('<html></html>', 404)).toMatchObject({ kind: 'unreadable' });
    expect(read({}, 422)).toMatchObject({ kind: 'unreadable' });
  });
});
