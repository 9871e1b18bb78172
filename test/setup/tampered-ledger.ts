/** A ledger with a story, and what its database's owner can do to it. */
import { sql } from 'kysely';
import { contentOf } from '../../src/ledger/audit/trail.js';
import type { Verification } from '../../src/ledger/audit/verify.js';
import { appendEvent } from '../../src/ledger/attempt-writes.js';
import { openDatabase, type Database, type LedgerTransaction } from '../../src/ledger/database.js';
import { eventHash } from '../../src/ledger/event-chain.js';
import { lockRefund } from '../../src/ledger/refunds.js';
import { settleRefund } from '../../src/ledger/settlement.js';
import { createAuditMacs } from '../../src/signing/audit-mac.js';
import { done, openLedger, START_MS, type LedgerScene } from './ledger-scene.js';

export const FIRST = { id: 'first', secret: Buffer.alloc(32, 1) };
export const SECOND = { id: 'second.2', secret: Buffer.alloc(32, 2) };

export const opened: { close(): Promise<void> }[] = [];
/** By the keys that they are written with. */
const scenes = new Map<string, LedgerScene>();

/** After each test. */
export async function forgetAllTold(): Promise<void> {
  await Promise.all(opened.splice(0).map((one) => one.close()));
  await Promise.all([...scenes.values()].map((scene) => scene.forget()));
}

/** After all tests. */
export async function closeAllTold(): Promise<void> {
  await Promise.all([...scenes.values()].map((scene) => scene.close()));
  scenes.clear();
}

export interface Story {
  readonly scene: LedgerScene;
  readonly paymentId: string;
  /** One that succeeded, and one that is pending. */
  readonly succeeded: string;
  readonly pending: string;
}

export async function tell(keys: readonly (typeof FIRST)[] | null = [FIRST]): Promise<Story> {
  const name = keys?.map(({ id }) => id).join() ?? 'none';
  const scene = scenes.get(name) ?? (await openLedger({ auditMacs: keys && createAuditMacs({ keys }) }));
  scenes.set(name, scene);
  return { scene, ...(await refundsOf(scene)) };
}

export async function refundsOf(scene: LedgerScene): Promise<Omit<Story, 'scene'>> {
  const paymentId = await scene.payment();
  const succeeded = await scene.refund(paymentId, { description: 'as told', metadata: { order: '1' } });
  await scene.submit(succeeded, done('at-provider'));
  await settleRefund(scene.db, succeeded, START_MS + 2_000);
  const pending = await scene.refund(paymentId);
  return { paymentId, succeeded, pending };
}

/** The same ledger with other keys. */
export function withKeys(scene: LedgerScene, keys: readonly (typeof FIRST)[] | null): Database {
  const db = openDatabase(scene.url, { poolMax: 2, auditMacs: keys && createAuditMacs({ keys }) });
  opened.unshift({ close: () => db.destroy() });
  return db;
}

/** What an owner of the database can do: no trigger stops them, no foreign key holds them. */
export async function tamper(
  db: Database,
  work: (trx: LedgerTransaction) => Promise<unknown>,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await sql`SET LOCAL session_replication_role = replica`.execute(trx);
    await work(trx);
  });
}

/** The hashes of a whole trail made anew, and its end on the refund. */
export async function recompute(
  trx: LedgerTransaction,
  refundId: string,
  macs: 'kept' | 'stripped',
): Promise<void> {
  const trail = await trx
    .selectFrom('refund_events')
    .selectAll()
    .where('refund_id', '=', refundId)
    .orderBy('sequence')
    .execute();
  let previous = '';
  for (const event of trail) {
    const hash = eventHash(contentOf(event), previous);
    await trx
      .updateTable('refund_events')
      .set({ previous_hash: previous, hash, ...(macs === 'stripped' ? { mac: null } : {}) })
      .where('id', '=', event.id)
      .execute();
    previous = hash;
  }
  const last = trail.at(-1);
  await trx
    .updateTable('refunds')
    .set({
      event_hash: previous,
      event_sequence: trail.length,
      event_mac: macs === 'stripped' ? null : (last?.mac ?? null),
      ...(macs === 'stripped' ? { event_seal: null } : {}),
    })
    .where('id', '=', refundId)
    .execute();
}

export async function changeAmount(trx: LedgerTransaction, refundId: string): Promise<void> {
  await sql`UPDATE refund_events SET data = jsonb_set(data, '{amount_minor}', '999')
            WHERE refund_id = ${refundId} AND sequence = 1`.execute(trx);
}

export async function removeEvents(trx: LedgerTransaction, refundId: string, from: number): Promise<void> {
  await trx
    .deleteFrom('refund_events')
    .where('refund_id', '=', refundId)
    .where('sequence', '>=', from)
    .execute();
}

/** Whose, at which event, and what; null: there is none. */
export function firstBreak({ breaks }: Verification): [string, number | null, string] | null {
  const [first] = breaks;
  return first ? [first.trail.id, first.sequence, first.what] : null;
}

/** One more event at the end of a trail, by the keys of this database. */
export async function noteSomething(db: Database, refundId: string): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const { refund } = await lockRefund(trx, refundId);
    await appendEvent(trx, refund, { type: 'noted', data: {} }, Date.parse('2026-03-12T00:00:00Z'));
  });
}
