import type { LedgerTransaction } from './database.js';

/** What a person may ask of a refund that exists. */
export type MessageAction = 'approve' | 'reject' | 'cancel' | 'extend' | 'resolve';

/** One message, whose proof has been checked. */
export interface ProvenMessage {
  readonly refundId: string;
  readonly action: MessageAction;
  readonly actor: string;
  /** One a message: the same message again, or a copy of it, has the same. */
  readonly nonce: string;
  readonly proof: string;
}

/**
 * Handles a message once: one that was handled before is told what came of it then, and changes nothing. The caller
 * holds the refund's row, so that two copies come one after the other. `Outcome` must survive JSON.
 */
export async function handleOnce<Outcome>(
  trx: LedgerTransaction,
  message: ProvenMessage,
  nowMs: number,
  handle: () => Promise<Outcome>,
): Promise<Outcome> {
  const before = await outcomeOf(trx, message);
  if (before) return before.outcome as Outcome;
  const outcome = await handle();
  await trx
    .insertInto('front_door_messages')
    .values({
      nonce: message.nonce,
      refund_id: message.refundId,
      action: message.action,
      actor: message.actor,
      proof: message.proof,
      outcome: JSON.stringify(outcome),
      received_at: new Date(nowMs),
    })
    .execute();
  return outcome;
}

/** Null: no such message was handled. @throws where its nonce belongs to another message. */
async function outcomeOf(
  trx: LedgerTransaction,
  { nonce, refundId, action, actor }: ProvenMessage,
): Promise<{ readonly outcome: unknown } | null> {
  const row = await trx
    .selectFrom('front_door_messages')
    .select(['refund_id', 'action', 'actor', 'outcome'])
    .where('nonce', '=', nonce)
    .executeTakeFirst();
  if (!row) return null;
  if (row.refund_id !== refundId || row.action !== action || row.actor !== actor) {
    throw new Error('a nonce was used for another message');
  }
  return { outcome: row.outcome };
}
