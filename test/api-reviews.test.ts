import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Resolution, ResolutionVerdict } from '../activities/interface.js';
import { EngineFailure } from '../src/api/refund-engine.js';
import { createApiKey } from '../src/ledger/keys.js';
import { resolveRefund } from '../src/ledger/resolution.js';
import { isProven } from '../src/signing/proof.js';
import { frontDoorKeys } from './setup/front-door-keys.js';
import { NO_NEXT_ROUND } from './setup/ledger-scene.js';
import { NOW_MS, openFrontDoor, paymentBody, storeRefund, type FrontDoor } from './setup/front-door.js';

const REFUSED = { kind: 'notInReview' } as const;
const BODY = { outcome: 'failed', evidence: { ticket: 'PG-1' } };

let door: FrontDoor;
let paymentId: string;
let olga: string;
let serial = 0;
let id: string;
let asked: Resolution[];
let answer: (resolution: Resolution) => Promise<ResolutionVerdict>;

beforeAll(async () => {
  door = await openFrontDoor({ off: ['efi'] });
  paymentId = (await door.call('POST', '/v1/payments', { body: paymentBody })).body.id;
  olga = (await createApiKey(door.db, { actor: 'olga', roles: ['operator'], nowMs: NOW_MS })).key;
  door.engine.resolve = (_refund, { body, proof }) => {
    expect(isProven(frontDoorKeys, 'resolve', body, proof)).toBe(true);
    asked.push(body);
    return answer(body);
  };
});
afterAll(() => door.close());

beforeEach(async () => {
  serial += 1;
  id = `rfd_${serial}`;
  asked = [];
  answer = async () => REFUSED;
  await storeRefund(door.db, { id, paymentId, amountMinor: 10 });
  await door.db
    .updateTable('refunds')
    .set({ status: 'review', pending_reason: null, review_reason: 'unclear', review_ends_by: 'provider' })
    .where('id', '=', id)
    .execute();
});

const resolve = (body: unknown = BODY, key = olga) =>
  door.call('POST', `/v1/refunds/${id}/resolve`, { body, key });

/** As the worker does it, for a refund of which nothing was ever sent. */
async function carryOut(decision: Resolution): Promise<ResolutionVerdict> {
  const resolving = await resolveRefund(
    door.db,
    {
      refundId: id,
      decision: { ...decision, proof: 'v1.test' },
      seen: { kind: 'unread', why: 'It is off.', wordSuffices: true },
      bounds: { providerTimeoutMs: 1, quietMs: 1 },
      nowMs: NOW_MS,
    },
    NO_NEXT_ROUND,
  );
  if (resolving.kind !== 'closed') throw new Error(`not carried out: ${resolving.kind}`);
  return { kind: 'closed', status: resolving.status };
}

describe('POST /v1/refunds/{id}/resolve', () => {
  it('200 with the refund as it stands once it is carried out', async () => {
    answer = carryOut;
    const { status, headers, body } = await resolve();
    expect([status, headers['idempotent-replayed']]).toEqual([200, undefined]);
    expect(body).toMatchObject({ object: 'refund', id, status: 'failed' });
    expect(asked).toMatchObject([{ outcome: 'failed', evidence: { ticket: 'PG-1' }, actor: 'olga' }]);
    const { body: trail } = await door.call('GET', `/v1/refunds/${id}/events`);
    expect(trail.data.at(-1)).toMatchObject({ type: 'review_resolved', actor: 'olga' });
  });

  it('200 to a repeat after a lost answer, without asking again', async () => {
    answer = async (resolution) => {
      await carryOut(resolution);
      throw new EngineFailure('unavailable', 'lost');
    };
    const lost = await resolve();
    const repeat = await resolve();
    for (const each of [lost, repeat]) {
      expect([each.status, each.headers['idempotent-replayed']]).toEqual([200, 'true']);
    }
    expect(asked).toHaveLength(1);
  });

  it('200 to the same decision in a later review, of which nothing is carried out', async () => {
    answer = carryOut;
    await resolve();
    await door.db
      .updateTable('refunds')
      .set({ status: 'review', failure_reason: null, review_reason: 'late', review_ends_by: 'person' })
      .where('id', '=', id)
      .execute();
    const repeat = await resolve();
    expect(repeat).toMatchObject({ status: 200, body: { status: 'review' } });
    expect(asked).toHaveLength(1);
    answer = async () => ({ kind: 'contradicted', why: 'It landed.' });
    await resolve({ ...BODY, evidence: 'another call with their support' });
    expect(asked).toHaveLength(2);
    expect(asked[1]?.id).not.toBe(asked[0]?.id);
  });

  it('one decision has one id, whatever the order of its evidence; another person’s has another', async () => {
    const evidence = { a: '1', b: '2' };
    await resolve({ ...BODY, evidence });
    await resolve({ evidence: { b: '2', a: '1' }, outcome: 'failed' });
    await resolve({ outcome: 'succeeded', evidence });
    const { key } = await createApiKey(door.db, { actor: 'otto', roles: ['operator'], nowMs: NOW_MS });
    await resolve({ ...BODY, evidence }, key);
    const ids = asked.map((resolution) => resolution.id);
    expect(ids[1]).toBe(ids[0]);
    expect(new Set(ids).size).toBe(3);
  });

  it.each<[number, string, ResolutionVerdict]>([
    [409, 'provider_contradicts', { kind: 'contradicted', why: 'The provider shows it as done.' }],
    [503, 'provider_unavailable', { kind: 'providerUnavailable', detail: 'It is down.' }],
    [403, 'self_approval_forbidden', { kind: 'ownRefund' }],
  ])('%d %s', async (status, code, verdict) => {
    answer = async () => verdict;
    expect(await resolve()).toMatchObject({ status, body: { code } });
  });

  it('503 while the engine gives no verdict, or knows of no review that the ledger knows of', async () => {
    expect(await resolve()).toMatchObject({
      status: 503,
      body: { code: 'engine_unavailable', retryable: true },
    });
    answer = () => Promise.reject(new EngineFailure('unavailable', 'away'));
    expect(await resolve()).toMatchObject({ status: 503, body: { code: 'engine_unavailable' } });
  });

  it('409 not_in_review before and after it', async () => {
    await door.db
      .updateTable('refunds')
      .set({ status: 'pending', pending_reason: 'queued', review_reason: null, review_ends_by: null })
      .where('id', '=', id)
      .execute();
    expect(await resolve()).toMatchObject({ status: 409, body: { code: 'not_in_review' } });
    expect(asked).toEqual([]);
  });

  it('403 for the requester’s own refund, and without the role; 404 for none', async () => {
    expect(await resolve(BODY, await door.key('operator'))).toMatchObject({
      status: 403,
      body: { code: 'self_approval_forbidden' },
    });
    expect(await resolve(BODY, await door.key('approver', 'admin'))).toMatchObject({
      status: 403,
      body: { code: 'forbidden' },
    });
    id = 'rfd_none';
    expect(await resolve()).toMatchObject({ status: 404 });
    expect(asked).toEqual([]);
  });

  it.each([
    [{}],
    [{ outcome: 'canceled', evidence: 'x' }],
    [{ outcome: 'failed' }],
    [{ outcome: 'failed', evidence: '' }],
    [{ outcome: 'failed', evidence: {} }],
    [{ outcome: 'failed', evidence: 'a\u0000b' }],
    [{ outcome: 'failed', evidence: 'x'.repeat(2_001) }],
    [{ outcome: 'failed', evidence: { a: 1 } }],
    [
      {
        outcome: 'failed',
        evidence: Object.fromEntries(Array.from({ length: 21 }, (_, at) => [`k${at}`, 'v'])),
      },
    ],
    [{ ...BODY, comment: 'x' }],
  ])('400 for %j', async (body) => {
    expect(await resolve(body)).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
    expect(asked).toEqual([]);
  });
});

describe('GET /v1/refunds/{id}/review', () => {
  const look = (refundId = id) => door.call('GET', `/v1/refunds/${refundId}/review`);

  it('200 with why the provider can’t be read, and what that leaves', async () => {
    expect(await look()).toMatchObject({
      status: 200,
      body: {
        in_review: true,
        reason: 'unclear',
        provider_shows: null,
        provider_unread: 'The provider could not be read: down',
        outcomes: [{ allowed: false, why: 'It was never sent.' }, { allowed: true }, { allowed: true }],
      },
    });
  });

  it('404 for none, 400 for an unknown parameter', async () => {
    expect(await look('rfd_none')).toMatchObject({ status: 404 });
    expect(await door.call('GET', `/v1/refunds/${id}/review?x=1`)).toMatchObject({ status: 400 });
  });
});
