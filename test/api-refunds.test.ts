import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { AdmissionVerdict, RefundStart } from '../activities/interface.js';
import { EngineFailure } from '../src/api/refund-engine.js';
import type { BrokenRule, RuleCode } from '../src/domain/eligibility.js';
import { ELIGIBILITY_CODES } from '../src/domain/refund.js';
import type { PaymentSnapshot } from '../src/domain/provider.js';
import { isProven } from '../src/signing/proof.js';
import { frontDoorKeys } from './setup/front-door-keys.js';
import {
  openFrontDoor,
  paymentBody,
  PIX_ID,
  storeOutcome,
  storeRefund,
  type FrontDoor,
} from './setup/front-door.js';

let door: FrontDoor;
let paymentId: string;
beforeAll(async () => {
  door = await openFrontDoor();
  const payment = await door.call('POST', '/v1/payments', { body: { ...paymentBody, provider: 'braspag' } });
  paymentId = payment.body.id;
});
afterAll(() => door.close());
afterEach(() => {
  door.engine.answer = async () => ({ kind: 'tooLate' });
  door.engine.asked.length = 0;
});

let serial = 0;
let key: string;
beforeEach(() => {
  serial += 1;
  key = `key-${serial}`;
});

const ask = (changes: Record<string, unknown> = {}, headers: Record<string, string> = {}) =>
  door.call('POST', '/v1/refunds', {
    body: { payment_id: paymentId, amount: 10, reason: 'duplicate', ...changes },
    headers: { 'idempotency-key': key, ...headers },
  });

const admit = async (start: RefundStart): Promise<AdmissionVerdict> => {
  await storeOutcome(door.db, start, { paymentId, amountMinor: start.request.amountMinor ?? 1 });
  return { kind: 'admitted', refundId: start.refundId, firstAskId: start.askId };
};

const broken = (code: RuleCode): BrokenRule => ({ code, detail: `because of ${code}`, pointer: '/amount' });

describe('POST /v1/refunds', () => {
  it('202 with Location and the refund, once the workflow admitted it', async () => {
    door.engine.answer = admit;
    const answer = await ask({ reference: 'r-1', metadata: { a: 'b' } });
    expect(answer.status).toBe(202);
    expect(answer.headers['location']).toBe(`/v1/refunds/${answer.body.id}`);
    expect(answer.headers['idempotent-replayed']).toBeUndefined();
    expect(answer.body).toMatchObject({
      object: 'refund',
      payment_id: paymentId,
      provider: 'braspag',
      provider_payment_id: PIX_ID,
      amount: 10,
      currency: 'BRL',
      status: 'pending',
      pending_reason: 'validating',
      approval: null,
      workflow_id: `refund/${answer.body.id}`,
      version: 1,
    });
    expect(door.engine.asked[0]?.hints).toMatchObject({
      provider: 'braspag',
      paymentId,
      reference: 'r-1',
      amountMinor: 10,
    });
  });

  it('hands over a start that the workers can tell from one made by hand', async () => {
    await ask();
    const [asked] = door.engine.asked;
    expect(isProven(frontDoorKeys, 'start', asked!.start, asked!.proof)).toBe(true);
    expect(isProven(frontDoorKeys, 'start', { ...asked!.start, actor: 'eve' }, asked!.proof)).toBe(false);
  });

  it('answers a repeat from the ledger, the key quoted or bare, without asking the engine again', async () => {
    door.engine.answer = admit;
    const first = await ask();
    const again = await ask({}, { 'idempotency-key': `"${key}"` });
    expect([again.status, again.headers['idempotent-replayed']]).toEqual([202, 'true']);
    expect(again.body).toEqual(first.body);
    expect(door.engine.asked).toHaveLength(1);
  });

  it('says that it is a repeat when another request with the key was first', async () => {
    door.engine.answer = (start) => admit({ ...start, askId: 'req_other' });
    expect((await ask()).headers['idempotent-replayed']).toBe('true');
  });

  it('scopes the key to the actor, whatever key of theirs is used', async () => {
    door.engine.answer = admit;
    const first = await ask();
    const otherKey = await door.key('admin', 'requester');
    const again = await door.call('POST', '/v1/refunds', {
      key: otherKey,
      body: { payment_id: paymentId, amount: 10, reason: 'duplicate' },
      headers: { 'idempotency-key': key },
    });
    expect(again.body.id).toBe(first.body.id);
  });

  it('422 idempotency_key_reused for another body, before the engine is asked and after', async () => {
    door.engine.answer = admit;
    await ask();
    const stored = await ask({ amount: 11 });
    expect([stored.status, stored.body.code]).toEqual([422, 'idempotency_key_reused']);
    key += '-other';
    door.engine.answer = async (start) => {
      await admit({ ...start, fingerprint: 'of another body' });
      return { kind: 'keyReused' };
    };
    const told = await ask();
    expect([told.status, told.body.code]).toEqual([422, 'idempotency_key_reused']);
  });

  it.each<AdmissionVerdict>([
    { kind: 'admitted', refundId: 'rfd_another', firstAskId: '' },
    { kind: 'refused', broken: [broken('limit_exceeded')], firstAskId: '' },
    { kind: 'keyReused' },
  ])('503, to be repeated, for the verdict %j that the ledger knows nothing of', async (verdict) => {
    door.engine.answer = async () => verdict;
    const answer = await ask();
    expect([answer.status, answer.body.code, answer.body.retryable]).toEqual([
      503,
      'engine_unavailable',
      true,
    ]);
  });

  it('400 idempotency_key_missing without a key', async () => {
    const answer = await door.call('POST', '/v1/refunds', {
      body: { payment_id: paymentId, reason: 'duplicate' },
    });
    expect([answer.status, answer.body.code]).toEqual([400, 'idempotency_key_missing']);
  });

  it.each(['x'.repeat(256), '"unclosed', 'caf\u00e9'])('400 for the key %s', async (bad) => {
    const answer = await ask({}, { 'idempotency-key': bad });
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
  });

  it.each(ELIGIBILITY_CODES)('422 %s with every broken rule, and the same for a repeat', async (code) => {
    const refusal = [broken(code), broken('limit_exceeded')];
    door.engine.answer = async (start) => {
      await storeOutcome(door.db, start, { refusal });
      return { kind: 'refused', broken: refusal, firstAskId: start.askId };
    };
    const first = await ask();
    expect([first.status, first.body.code]).toEqual([422, code]);
    expect(first.body.errors).toEqual(refusal);
    expect(first.headers['idempotent-replayed']).toBeUndefined();
    const again = await ask();
    expect([again.status, again.body.errors, again.headers['idempotent-replayed']]).toEqual([
      422,
      refusal,
      'true',
    ]);
    expect(door.engine.asked).toHaveLength(1);
  });

  it('412 refundable_amount_mismatch', async () => {
    const refusal = [broken('refundable_amount_mismatch')];
    door.engine.answer = async (start) => {
      await storeOutcome(door.db, start, { refusal });
      return { kind: 'refused', broken: refusal, firstAskId: start.askId };
    };
    const answer = await ask({ expected_refundable_amount: 1 });
    expect([answer.status, answer.body.code]).toEqual([412, 'refundable_amount_mismatch']);
  });

  it('404 for a payment that is unknown here, without asking the engine', async () => {
    const answer = await ask({ payment_id: 'pay_none' });
    expect([answer.status, answer.body.code, door.engine.asked.length]).toEqual([404, 'not_found', 0]);
  });

  it.each([
    [{ kind: 'paymentNotFound', detail: 'none' }, 404, 'not_found'],
    [{ kind: 'duplicateReference', detail: 'taken' }, 409, 'duplicate_reference'],
    [{ kind: 'providerUnavailable', detail: 'down' }, 503, 'provider_unavailable'],
    [{ kind: 'tooLate' }, 503, 'engine_unavailable'],
    [{ kind: 'unproven' }, 503, 'engine_unavailable'],
    [{ kind: 'replayed' }, 503, 'engine_unavailable'],
  ] as const)('answers the verdict %j with %i %s', async (verdict, status, code) => {
    door.engine.answer = async () => verdict;
    const answer = await ask({
      payment_id: undefined,
      provider: 'efi',
      provider_payment_id: `urn:efi:${PIX_ID}`,
    });
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    if (status === 503) expect([answer.body.retryable, answer.headers['retry-after']]).toEqual([true, '1']);
  });

  it('503 engine_unavailable when the engine fails and the ledger knows nothing', async () => {
    door.engine.answer = () => Promise.reject(new EngineFailure('unavailable', 'down'));
    const answer = await ask();
    expect([answer.status, answer.body.code, answer.headers['retry-after']]).toEqual([
      503,
      'engine_unavailable',
      '1',
    ]);
  });

  it('202, and no replay, when its own answer was lost after the ledger admitted', async () => {
    door.engine.answer = async (start) => {
      await admit(start);
      throw new EngineFailure('unavailable', 'the answer was lost');
    };
    const answer = await ask();
    expect([answer.status, answer.headers['idempotent-replayed']]).toEqual([202, undefined]);
    const again = await ask();
    expect([again.status, again.headers['idempotent-replayed']]).toEqual([202, 'true']);
  });

  it('409 idempotency_in_progress when too many wait for the same verdict', async () => {
    door.engine.answer = () => Promise.reject(new EngineFailure('busy', 'full'));
    const answer = await ask();
    expect([answer.status, answer.body.code]).toEqual([409, 'idempotency_in_progress']);
  });

  it('500 internal_error tells nothing of what broke', async () => {
    door.engine.answer = () => Promise.reject(new Error('secret detail'));
    const answer = await ask();
    expect([answer.status, answer.body.code]).toEqual([500, 'internal_error']);
    expect(JSON.stringify(answer.body)).not.toContain('secret');
  });

  it.each([
    ['no payment', { payment_id: undefined }, '/payment_id'],
    ['two payments', { provider: 'efi', provider_payment_id: 'x' }, '/payment_id'],
    ['half a payment', { payment_id: undefined, provider: 'efi' }, '/provider_payment_id'],
    ['an unknown provider', { payment_id: undefined, provider: 'x', provider_payment_id: 'x' }, '/provider'],
    ['no reason', { reason: undefined }, '/reason'],
    ['an unknown reason', { reason: 'because' }, '/reason'],
    ['an amount of 0', { amount: 0 }, '/amount'],
    ['a long description', { description: 'x'.repeat(141) }, '/description'],
    ['an unknown member', { amont: 1 }, '/amont'],
  ])('400 invalid_request for %s', async (_, changes, pointer) => {
    const answer = await ask(changes);
    expect([answer.status, answer.body.code, answer.body.errors[0]?.pointer]).toEqual([
      400,
      'invalid_request',
      pointer,
    ]);
  });
});

describe('GET /v1/refunds/{id}', () => {
  it('404 for an unknown one, and for its events', async () => {
    expect((await door.call('GET', '/v1/refunds/rfd_none')).body.code).toBe('not_found');
    expect((await door.call('GET', '/v1/refunds/rfd_none/events')).body.code).toBe('not_found');
  });

  it('asks the provider on refresh, waits for its look, and asks again only after 5 s', async () => {
    const id = `rfd_refresh_${serial}`;
    await storeRefund(door.db, { id, paymentId, amountMinor: 1 });
    door.engine.onHint = async (refundId) => {
      await door.db.updateTable('refunds').set({ version: 2 }).where('id', '=', refundId).execute();
    };
    const first = await door.call('GET', `/v1/refunds/${id}?refresh=true`);
    await door.call('GET', `/v1/refunds/${id}?refresh=true`);
    expect(first.body.version).toBe(2);
    expect(door.engine.hinted).toEqual([{ refundId: id, source: 'refresh' }]);
  });

  it('answers though the engine takes no hint', async () => {
    const id = `rfd_deaf_${serial}`;
    await storeRefund(door.db, { id, paymentId, amountMinor: 1 });
    door.engine.onHint = () => Promise.reject(new EngineFailure('unavailable', 'down'));
    expect((await door.call('GET', `/v1/refunds/${id}?refresh=true`)).status).toBe(200);
  });
});

describe('POST /v1/refunds/preview', () => {
  const snapshot: PaymentSnapshot = {
    status: 'refundable',
    providerStatus: '2',
    providerPaymentReference: null,
    amountMinor: 10_000,
    amountMayBeReduced: false,
    currency: 'BRL',
    method: 'pix',
    paidAtMs: Date.parse('2026-03-01T14:05:00Z'),
    refunds: [{ providerRefundId: 'x', amountMinor: 3_000, status: 'succeeded', providerStatus: 'done' }],
    complete: true,
  };
  const preview = (changes: Record<string, unknown> = {}) =>
    door.call('POST', '/v1/refunds/preview', {
      body: { payment_id: paymentId, reason: 'duplicate', ...changes },
    });

  it('200 with every rule, money moved without us counted, and no effect', async () => {
    door.shown.set('braspag', { kind: 'found', snapshot });
    const payment = await door.call('GET', `/v1/payments/${paymentId}`);
    const left = payment.body.amount - payment.body.amount_reserved - 3_000;
    const answer = await preview({ amount: 20_000, expected_refundable_amount: 1 });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ object: 'refund_preview', eligible: false, refundable_amount: left });
    expect(answer.body.provider_read).toBe('read');
    expect(answer.body.refund_deadline).toBe('2026-05-31T03:00:00.000Z');
    expect(answer.body.rules.map((rule) => rule.code)).toEqual([
      ...ELIGIBILITY_CODES,
      'refundable_amount_mismatch',
    ]);
    expect((await door.call('GET', `/v1/payments/${paymentId}`)).body).toEqual(payment.body);
    expect(door.engine.asked).toEqual([]);
    door.shown.clear();
  });

  it('decides from the ledger where the provider does not answer', async () => {
    const answer = await preview({ amount: 1 });
    expect([answer.body.eligible, answer.body.provider_read]).toEqual([true, 'unavailable']);
  });

  it('404 for an unknown payment, 503 where an unregistered one can not be read', async () => {
    expect((await preview({ payment_id: 'pay_none' })).status).toBe(404);
    const unread = await preview({ payment_id: undefined, provider: 'pagou', provider_payment_id: PIX_ID });
    expect([unread.status, unread.body.code]).toEqual([503, 'provider_unavailable']);
  });
});
