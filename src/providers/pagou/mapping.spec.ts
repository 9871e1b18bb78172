import { createHmac } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { paymentRead, reasonNumber, refundOutcome } from './mapping.js';
import { isSignedByPagou, webhookPaymentId } from './webhook.js';

const ID = '550e8400-e29b-41d4-a716-446655440000';

const text = (body: unknown) => (typeof body === 'string' ? body : JSON.stringify(body));
const submit = (status: number, body: unknown = '') =>
  refundOutcome({ status, headers: {}, body: text(body) }, 0);
const read = (body: unknown, status = 200) => paymentRead({ status, headers: {}, body: text(body) }, ID, 0);
const pix = (members: Record<string, unknown> = {}) => ({
  id: ID,
  amount: 50.0,
  status: 4,
  paid_at: '2026-01-02T03:04:05Z',
  ...members,
});

describe('a refund at Pagou', () => {
  it('is accepted on 204, and on nothing else', () => {
    expect(submit(204)).toEqual({ kind: 'accepted', providerRefundId: null, providerStatus: 'HTTP 204' });
    for (const status of [200, 201, 202]) expect(submit(status, '{}')).toMatchObject({ kind: 'unknown' });
  });

  it.each([
    [400, { kind: 'declined', mayBeOurs: true }],
    [404, { kind: 'declined', mayBeOurs: false }],
    [409, { kind: 'declined', mayBeOurs: true }],
    [422, { kind: 'declined', mayBeOurs: true }],
    [401, { kind: 'notNow', reason: 'authorization_required' }],
    [403, { kind: 'notNow', reason: 'authorization_required' }],
    [405, { kind: 'unknown' }],
    [408, { kind: 'unknown' }],
    [429, { kind: 'unknown' }],
    [500, { kind: 'unknown' }],
    [503, { kind: 'unknown' }],
    [302, { kind: 'unknown' }],
  ])('answered %d', (status, expected) => {
    const error = { code: `http_${status}`, message: 'QRCode is not in completed status' };
    expect(submit(status, { error: error.message })).toMatchObject({ ...expected, error });
    expect(submit(status, { error: { message: error.message } })).toMatchObject({ ...expected, error });
    expect(submit(status)).toMatchObject(expected);
  });

  it.each([400, 404, 409, 422])('is unknown where %d comes with a page', (status) => {
    expect(submit(status, '<html></html>')).toMatchObject({ kind: 'unknown' });
  });

  it.each([
    ['bank_error', 1],
    ['fraudulent', 2],
    ['requested_by_customer', 3],
    ['duplicate', 3],
    ['pix_withdrawal', 4],
  ] as const)('has a number for %s', (reason, number) => expect(reasonNumber(reason)).toBe(number));
});

describe('a Pix at Pagou', () => {
  it.each([
    [1, 'notRefundable'],
    [2, 'notRefundable'],
    [3, 'notRefundable'],
    [4, 'refundable'],
    ['4', 'refundable'],
    [5, 'refunded'],
    [6, 'notRefundable'],
    [7, 'unknown'],
    ['StatusEmpty', 'notRefundable'],
    ['StatusActive', 'notRefundable'],
    ['StatusCanceled', 'notRefundable'],
    ['StatusCompleted', 'refundable'],
    ['completed', 'refundable'],
    ['StatusRefunded', 'refunded'],
    ['removed', 'notRefundable'],
    ['StatusElse', 'unknown'],
  ])('with status %p is %s', (status, expected) => {
    expect(read(pix({ status }))).toMatchObject({
      snapshot: {
        status: expected,
        providerStatus: String(status),
        amountMinor: 5000,
        refunds: [],
        complete: true,
      },
    });
  });

  it('takes a refund without a status for what went back once the charge is refunded', () => {
    expect(read(pix({ status: 5, refund: { amount: 12.34, external_id: 'x1' } }))).toMatchObject({
      snapshot: { refunds: [], totalOnlyMinor: 1234, complete: true },
    });
  });

  it('takes a refund without an amount for none', () => {
    expect(read(pix({ refund: { amount: null } }))).toMatchObject({
      snapshot: { refunds: [], complete: true },
    });
  });

  it.each([
    [2, 'processing'],
    ['3', 'succeeded'],
    ['completed', 'succeeded'],
    [1, 'unknown'],
    [4, 'unknown'],
    [null, 'unclear'],
  ])('shows a refund with status %p as %s', (status, expected) => {
    expect(read(pix({ refund: { amount: 12.34, external_id: 'x1', status } }))).toMatchObject({
      snapshot: { refunds: [{ providerRefundId: 'x1', amountMinor: 1234, status: expected }] },
    });
  });

  it('shows no refund where its object is empty, and no id where that is empty', () => {
    expect(read(pix({ refund: { amount: 0, external_id: '', status: 0 } }))).toMatchObject({
      snapshot: { refunds: [] },
    });
    expect(read(pix({ refund: { amount: 1, external_id: '', status: 3 } }))).toMatchObject({
      snapshot: { refunds: [{ providerRefundId: null }] },
    });
  });

  it.each([
    [{ error: 'not found' }, 404, 'notFound'],
    ['', 404, 'notFound'],
    ['<html>', 404, 'unreadable'],
    ['<html>', 200, 'unreadable'],
    [text(pix()).slice(0, -1), 200, 'unreadable'],
    [pix({ id: '660e8400-e29b-41d4-a716-446655440000' }), 200, 'unreadable'],
    [pix({ amount: '5000' }), 200, 'unreadable'],
    [pix({ amount: 0.001 }), 200, 'unreadable'],
    [pix({ refund: { status: 3 } }), 200, 'unreadable'],
    ['', 401, 'unavailable'],
    ['', 500, 'unavailable'],
  ])('answered %j with %d is %s', (body, status, kind) => {
    expect(read(body, status)).toMatchObject({ kind });
  });
});

describe('Pagou webhooks', () => {
  const nowMs = 1_700_000_000_000;
  const rawBody = Buffer.from(text({ event_name: 'qrcode.refunded', data: { id: ID } }));
  const sign = (key: string, timestamp: string) =>
    createHmac('sha256', key).update(timestamp).update(rawBody).digest('hex');
  const delivery = (signature: string | undefined, timestamp: string) => ({
    rawBody,
    query: {},
    headers: { 'x-pagou-signature': signature, 'x-pagou-timestamp': timestamp },
  });
  const isValid = (signature: string | undefined, timestamp: string) =>
    isSignedByPagou(delivery(signature, timestamp), ['new', 'old'], nowMs);

  it('are accepted under the new key and the old one, with or without the prefix', () => {
    expect(isValid(sign('new', '1700000000'), '1700000000')).toBe(true);
    expect(isValid(`sha256=${sign('old', '1700000300')}`, '1700000300')).toBe(true);
    expect(isValid(sign('new', '1700000000').toUpperCase(), '1700000000')).toBe(true);
  });

  it.each([
    ['another key', sign('other', '1700000000'), '1700000000'],
    ['a time too long ago', sign('new', '1699999699'), '1699999699'],
    ['a time too far ahead', sign('new', '1700000301'), '1700000301'],
    ['a changed time', sign('new', '1700000000'), '1700000001'],
    ['no signature', undefined, '1700000000'],
    ['no time', sign('new', ''), ''],
  ])('are refused with %s', (_what, signature, timestamp) =>
    expect(isValid(signature, timestamp)).toBe(false),
  );

  it('name the payment under either name of the event', () => {
    const hint = { kind: 'hint', providerPaymentId: ID };
    expect(webhookPaymentId(rawBody.toString())).toEqual(hint);
    expect(webhookPaymentId(text({ name: 'qrcode.completed', data: { id: ID } }))).toEqual(hint);
    expect(webhookPaymentId(text({ name: 'boleto.paid', data: { id: ID } }))).toMatchObject({
      providerPaymentId: null,
    });
    expect(webhookPaymentId(text({ name: 'qrcode.refunded', data: null }))).toMatchObject({
      providerPaymentId: null,
    });
    expect(webhookPaymentId('nope')).toMatchObject({ kind: 'malformed' });
  });
});
