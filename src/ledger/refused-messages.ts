/** Messages that changed nothing, kept for whoever reads the trail. */
import { appendEvent } from './attempt-writes.js';
import type { Database, LedgerTransaction } from './database.js';
import { lockRefund, type RefundRow } from './refunds.js';
import { storable } from './storable-text.js';

const CLAIM_MAX = 100;

export interface Refusal {
  readonly action: string;
  readonly actor: string;
  readonly requestId: string;
  /** The error's own code, as it was answered. */
  readonly code: string;
  /** What was voted on, where the message named it. */
  readonly contentHash: string | null;
}

/** A message that was refused before it got anywhere near its refund's process. */
export async function recordRefusal(
  db: Database,
  refundId: string,
  refusal: Refusal,
  nowMs: number,
): Promise<void> {
  await whereKnown(db, refundId, (trx, refund) => appendRefusal(trx, refund, refusal, nowMs));
}

/** The caller holds the refund's row. */
export async function appendRefusal(
  trx: LedgerTransaction,
  refund: RefundRow,
  { action, actor, requestId, code, contentHash }: Refusal,
  nowMs: number,
): Promise<void> {
  const data = { action, code, content_hash: contentHash };
  await appendEvent(trx, refund, { type: 'vote_refused', actor, requestId, data }, nowMs);
}

/** A message that the front door did not vouch for: whoever sent it, it was not through the API. */
export async function recordForgery(
  db: Database,
  refundId: string,
  { action, claimedActor }: { readonly action: string; readonly claimedActor: string },
  nowMs: number,
): Promise<void> {
  // Whoever writes a message by hand is held to no type: what looks like an object may not even become text.
  const claimed = (text: unknown): string => (typeof text === 'string' ? text.slice(0, CLAIM_MAX) : '');
  const data = storable({ action: claimed(action), claimed_actor: claimed(claimedActor) });
  await whereKnown(db, refundId, async (trx, refund) => {
    await appendEvent(trx, refund, { type: 'message_refused', data }, nowMs);
  });
}

async function whereKnown(
  db: Database,
  refundId: string,
  write: (trx: LedgerTransaction, refund: RefundRow) => Promise<void>,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const known = await trx.selectFrom('refunds').select('id').where('id', '=', refundId).executeTakeFirst();
    if (known) await write(trx, (await lockRefund(trx, refundId)).refund);
  });
}
