import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { sql } from 'kysely';
import { createPolicyShelf } from '../src/ledger/policies.js';
import { recordForgery, recordRefusal } from '../src/ledger/refused-messages.js';
import { compensateRefund, moveToReview, settleRefund } from '../src/ledger/settlement.js';
import { readPolicy } from '../src/policy.js';
import { eventsOf, peopleOf, SOON_MS, storedVotes, sumsOf, type People } from './setup/approval-scene.js';
import { closeWithBooks } from './setup/books.js';
import { done, openLedger, START_MS, type LedgerScene } from './setup/ledger-scene.js';

let ledger: LedgerScene;
let people: People;
beforeAll(async () => {
  ledger = await openLedger();
  people = peopleOf(ledger);
});
afterAll(() => closeWithBooks(ledger));

const DAY_MS = 86_400_000;
const END_MS = START_MS + 7 * DAY_MS;

/** Of 1,000, on a payment of its own; another of 300 is reserved beside it. */
async function waiting(approvals = 2): Promise<{ refundId: string; paymentId: string }> {
  const paymentId = await ledger.payment();
  await ledger.refund(paymentId, { amountMinor: 300 });
  return { refundId: await ledger.refund(paymentId, { approvals }), paymentId };
}

function kindsOf(handled: readonly { readonly verdict: { readonly kind: string } }[]): string[] {
  return handled.map(({ verdict }) => verdict.kind).sort();
}

describe('what is counted', () => {
  it('the last of the votes that are needed sends it on, with what each person said', async () => {
    const { refundId, paymentId } = await waiting();
    const first = await people.vote(refundId, 'bruno', { comment: 'asked the shop' });
    expect(first).toMatchObject({ verdict: { kind: 'done' }, wakeRefundId: null });
    expect(first.standing).toEqual({
      state: 'waiting',
      version: 2,
      round: 1,
      required: 2,
      missing: 1,
      requestedAtMs: START_MS,
      expiresAtMs: END_MS,
    });
    const last = await people.vote(refundId, 'carla', { nowMs: SOON_MS + 1 });
    expect(last).toMatchObject({ verdict: { kind: 'done' }, standing: { state: 'approved', version: 4 } });
    expect(await ledger.refundRow(refundId)).toMatchObject({
      status: 'pending',
      pending_reason: 'validating',
      approval_state: 'approved',
      money: 'reserved',
    });
    expect(await sumsOf(ledger, paymentId)).toEqual([0, 1_300, 0]);
    const content = { content_hash: 'content-hash', proof: 'v1.test.proof', round: 1 };
    expect(await eventsOf(ledger, refundId, 'vote_cast')).toMatchObject([
      {
        actor: 'bruno',
        request_id: 'req_bruno',
        data: { ...content, missing: 1, comment: 'asked the shop' },
      },
      { actor: 'carla', request_id: 'req_carla', data: { ...content, missing: 0, comment: null } },
    ]);
    expect(await eventsOf(ledger, refundId, 'refund_approved')).toHaveLength(1);
    expect(await storedVotes(ledger, refundId)).toMatchObject([
      { round: 1, actor: 'bruno', decision: 'approve', proof: 'v1.test.proof', request_id: 'req_bruno' },
      { round: 1, actor: 'carla', decision: 'approve', comment: null },
    ]);
  });

  it('keeps its amount while it waits, and gives it back once when one person rejects', async () => {
    const { refundId, paymentId } = await waiting();
    await people.vote(refundId, 'bruno');
    expect(await sumsOf(ledger, paymentId)).toEqual([0, 1_300, 0]);
    expect(await people.reject(refundId, 'carla', { comment: 'no receipt' })).toMatchObject({
      verdict: { kind: 'done' },
      standing: { state: 'closed', status: 'rejected' },
    });
    expect(await ledger.refundRow(refundId)).toMatchObject({ approval_state: 'rejected', money: 'released' });
    expect(await sumsOf(ledger, paymentId)).toEqual([0, 300, 0]);
    expect(await eventsOf(ledger, refundId, 'refund_rejected')).toMatchObject([
      { actor: 'carla', data: { comment: 'no receipt', amount_minor: 1_000, round: 1 } },
    ]);
    expect(await people.reject(refundId, 'davi')).toMatchObject({ verdict: { code: 'already_final' } });
    expect(await people.reject(refundId, 'carla')).toMatchObject({ verdict: { kind: 'repeated' } });
    expect(await sumsOf(ledger, paymentId)).toEqual([0, 300, 0]);
  });

  it('PostgreSQL itself lets nothing that waits give its amount back, be called approved, or count no end', async () => {
    const { refundId } = await waiting();
    const change = (columns: Record<string, unknown>): Promise<unknown> =>
      ledger.db.updateTable('refunds').set(columns).where('id', '=', refundId).execute();
    await expect(change({ money: 'released' })).rejects.toThrow('check constraint');
    await expect(change({ approval_state: 'approved' })).rejects.toThrow('refunds_approval_awaited');
    await expect(change({ status: 'pending', pending_reason: 'validating' })).rejects.toThrow(
      'refunds_approval_awaited',
    );
    await expect(change({ approval_expires_at: null })).rejects.toThrow('refunds_approval_whole');
    await expect(change({ approvals_required: 0 })).rejects.toThrow('refunds_approval_whole');
  });
});

describe('at the same time', () => {
  it('two people, both needed: both count, and it is approved once', async () => {
    const { refundId } = await waiting();
    const both = await Promise.all(['bruno', 'carla'].map((actor) => people.vote(refundId, actor)));
    expect(kindsOf(both)).toEqual(['done', 'done']);
    expect(both.map(({ standing }) => standing.state).sort()).toEqual(['approved', 'waiting']);
    expect((await eventsOf(ledger, refundId, 'vote_cast')).map(({ data }) => data['missing'])).toEqual([
      1, 0,
    ]);
    expect(await eventsOf(ledger, refundId, 'refund_approved')).toHaveLength(1);
  });

  it('eight people, three needed: three count, and the others are told that they are late', async () => {
    const { refundId } = await waiting(3);
    const actors = Array.from({ length: 8 }, (_, at) => `approver-${at}`);
    const all = await Promise.all(actors.map((actor) => people.vote(refundId, actor)));
    expect(kindsOf(all)).toEqual([...Array(3).fill('done'), ...Array(5).fill('refused')]);
    expect(await storedVotes(ledger, refundId)).toHaveLength(3);
    const refused = await eventsOf(ledger, refundId, 'vote_refused');
    expect(refused.map(({ data }) => data['code'])).toEqual(Array(5).fill('already_final'));
  });

  it('one person twice counts once, in two messages or in two copies of one', async () => {
    const { refundId } = await waiting();
    const twice = await Promise.all([1, 2, 3].map(() => people.vote(refundId, 'bruno')));
    expect(kindsOf(twice)).toEqual(['done', 'repeated', 'repeated']);
    const nonce = randomUUID();
    const copies = await Promise.all(
      [1, 2, 3].map(() => people.vote(refundId, 'carla', { nonce, action: 'reject' })),
    );
    expect(kindsOf(copies)).toEqual(['done', 'done', 'done']);
    expect((await storedVotes(ledger, refundId)).map(({ actor }) => actor)).toEqual(['bruno', 'carla']);
    expect(await eventsOf(ledger, refundId, 'refund_rejected')).toHaveLength(1);
  });

  it('one person both ways: one of them counts, and the other is a conflict or comes too late', async () => {
    for (let round = 0; round < 8; round += 1) {
      const { refundId } = await waiting();
      const [yes, no] = await Promise.all([
        people.vote(refundId, 'bruno'),
        people.reject(refundId, 'bruno', { contentHash: 'content-hash' }),
      ]);
      const isYes = yes.verdict.kind === 'done';
      expect(no.verdict).toMatchObject(
        isYes ? { kind: 'refused', code: 'approval_conflict' } : { kind: 'done' },
      );
      if (!isYes) expect(yes.verdict).toMatchObject({ kind: 'refused', code: 'already_final' });
      expect(await storedVotes(ledger, refundId)).toHaveLength(1);
    }
  });

  it('yes and no of two people: the first decides, the other is late, and the amount is given back or not', async () => {
    for (let round = 0; round < 8; round += 1) {
      const { refundId, paymentId } = await waiting(1);
      const [yes, no] = await Promise.all(
        round % 2 === 0
          ? [people.vote(refundId, 'bruno'), people.reject(refundId, 'carla')]
          : [
              people.vote(refundId, 'bruno'),
              people.reject(refundId, 'carla', { contentHash: 'content-hash' }),
            ],
      );
      expect(kindsOf([yes, no])).toEqual(['done', 'refused']);
      const { status } = await ledger.refundRow(refundId);
      expect(status).toBe(yes.verdict.kind === 'done' ? 'pending' : 'rejected');
      expect(await sumsOf(ledger, paymentId)).toEqual([0, status === 'pending' ? 1_300 : 300, 0]);
    }
  });

  it('the last vote and the end: one of them decides, and the amount is given back at most once', async () => {
    for (let round = 0; round < 8; round += 1) {
      const { refundId, paymentId } = await waiting(1);
      const [vote] = await Promise.all([
        people.vote(refundId, 'bruno', { nowMs: END_MS - 1 }),
        people.expire(refundId, END_MS),
        people.expire(refundId, END_MS),
      ]);
      const { status } = await ledger.refundRow(refundId);
      expect(status).toBe(vote.verdict.kind === 'done' ? 'pending' : 'expired');
      expect(await sumsOf(ledger, paymentId)).toEqual([0, status === 'pending' ? 1_300 : 300, 0]);
    }
  });
});

describe('what is refused', () => {
  type Given = Parameters<People['vote']>[2];
  it.each<[string, string, Given, string]>([
    ['of who asked', 'ana', {}, 'self_approval_forbidden'],
    ['of who asked, against it', 'ana', { action: 'reject' }, 'self_approval_forbidden'],
    ['for something else', 'bruno', { contentHash: 'another' }, 'approval_conflict'],
    ['against it, of who approved', 'davi', { action: 'reject' }, 'approval_conflict'],
    ['at the very end', 'bruno', { nowMs: END_MS }, 'already_final'],
    ['against it, at the very end', 'bruno', { nowMs: END_MS, action: 'reject' }, 'already_final'],
  ])('a vote %s changes nothing, and is kept in the trail', async (_case, actor, given, code) => {
    const { refundId, paymentId } = await waiting(3);
    await people.vote(refundId, 'davi');
    const before = await ledger.refundRow(refundId);
    const { verdict, standing } = await people.vote(refundId, actor, given);
    expect(verdict).toMatchObject({ kind: 'refused', code });
    expect(standing).toMatchObject({ state: 'waiting', missing: 2 });
    const { event_hash: _hash, event_sequence: sequence, ...after } = await ledger.refundRow(refundId);
    expect(after).toMatchObject({ version: before.version, updated_at: before.updated_at });
    expect(sequence).toBe(before.event_sequence + 1);
    expect(await eventsOf(ledger, refundId, 'vote_refused')).toEqual([
      {
        actor,
        request_id: `req_${actor}`,
        reason: null,
        data: {
          action: given?.action ?? 'approve',
          code,
          content_hash: given?.contentHash ?? 'content-hash',
        },
      },
    ]);
    expect(await storedVotes(ledger, refundId)).toHaveLength(1);
    expect(await sumsOf(ledger, paymentId)).toEqual([0, 1_300, 0]);
  });

  it('counts until the last millisecond', async () => {
    const { refundId } = await waiting(1);
    expect(await people.vote(refundId, 'bruno', { nowMs: END_MS - 1 })).toMatchObject({
      verdict: { kind: 'done' },
      standing: { state: 'approved' },
    });
  });

  it.each<[string, (refundId: string) => Promise<unknown>]>([
    ['rejected', (refundId) => people.reject(refundId, 'carla')],
    ['expired', (refundId) => people.expire(refundId, END_MS)],
    ['canceled', (refundId) => people.cancel(refundId)],
    ['pending', (refundId) => people.vote(refundId, 'carla')],
    [
      'failed',
      async (refundId) => {
        await people.vote(refundId, 'carla');
        await compensateRefund(ledger.db, refundId, 'refund_window_expired', SOON_MS);
      },
    ],
    [
      'review',
      async (refundId) => {
        await people.vote(refundId, 'carla');
        await moveToReview(ledger.db, refundId, 'somebody must look', SOON_MS);
      },
    ],
    [
      'succeeded',
      async (refundId) => {
        await people.vote(refundId, 'carla');
        await ledger.submit(refundId, done('at-provider'));
        await settleRefund(ledger.db, refundId, SOON_MS);
      },
    ],
  ])('a vote on a refund that is %s comes too late', async (status, end) => {
    const refundId = await ledger.refund(await ledger.payment({ provider: 'pagou' }), { approvals: 1 });
    await end(refundId);
    const before = await ledger.refundRow(refundId);
    expect(before.status).toBe(status);
    for (const action of ['approve', 'reject'] as const) {
      expect(await people.vote(refundId, 'bruno', { action })).toMatchObject({
        verdict: { kind: 'refused', code: 'already_final' },
      });
    }
    const { version, approval_state: state } = await ledger.refundRow(refundId);
    expect([version, state]).toEqual([before.version, before.approval_state]);
  });

  it('what was refused at the door, and what no door let in, is kept too, whatever it claims to be', async () => {
    const { refundId } = await waiting();
    const refusal = {
      action: 'approve',
      actor: 'vera',
      requestId: 'req_1',
      code: 'forbidden',
      contentHash: null,
    };
    await recordRefusal(ledger.db, refundId, refusal, SOON_MS);
    expect(await eventsOf(ledger, refundId, 'vote_refused')).toEqual([
      {
        actor: 'vera',
        request_id: 'req_1',
        reason: null,
        data: { action: 'approve', code: 'forbidden', content_hash: null },
      },
    ]);
    const hostile: unknown[] = [
      'bruno',
      'x'.repeat(5_000),
      'nul \0 and half \ud800',
      { toString: 1 },
      [],
      undefined,
    ];
    for (const claimed of hostile) {
      const forged = { action: claimed, claimedActor: claimed } as { action: string; claimedActor: string };
      await recordForgery(ledger.db, refundId, forged, SOON_MS);
    }
    const kept = (await eventsOf(ledger, refundId, 'message_refused')).map(({ actor, data }) => [
      actor,
      data['action'],
      data['claimed_actor'],
    ]);
    const texts = ['bruno', 'x'.repeat(100), 'nul \ufffd and half \ufffd', '', '', ''];
    expect(kept).toEqual(texts.map((text) => ['estorno', text, text]));
    expect((await ledger.refundRow(refundId)).version).toBe(1);
    await recordRefusal(ledger.db, 'rfd_nobody_knows', refusal, SOON_MS);
    await recordForgery(ledger.db, 'rfd_nobody_knows', { action: 'approve', claimedActor: 'x' }, SOON_MS);
  });
});

describe('evidence', () => {
  it.each(['votes', 'front_door_messages', 'policies'])(
    '%s: nothing is altered or removed',
    async (table) => {
      const { refundId } = await waiting();
      await people.vote(refundId, 'bruno');
      const log = { warn: () => undefined };
      await createPolicyShelf(ledger.db, readPolicy('config/policy.json'), {
        nowMs: () => START_MS,
        log,
      }).keep();
      const columns = { votes: 'comment', front_door_messages: 'actor', policies: 'version' };
      const column = columns[table as keyof typeof columns];
      for (const statement of [
        `UPDATE ${table} SET ${column} = 'x'`,
        `DELETE FROM ${table}`,
        `TRUNCATE ${table} CASCADE`,
      ]) {
        await expect(execute(statement)).rejects.toThrow(`${table} is append-only`);
      }
    },
  );
});

async function execute(statement: string): Promise<unknown> {
  return sql.raw(statement).execute(ledger.db);
}
