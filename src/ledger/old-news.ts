import { sql } from 'kysely';
import type { Database } from './database.js';

const KEPT_FOR_MS = 30 * 86_400_000;

/**
 * Forgets deliveries that are over and were ordered more than 30 days ago, and messages that nothing refers to any more.
 * Whatever somebody else works on at this moment is left for the next time.
 * @returns whether there may be more.
 */
export async function forgetOldNews(db: Database, nowMs: number, atMost: number): Promise<boolean> {
  const before = new Date(nowMs - KEPT_FOR_MS);
  const deliveries = await sql`
    DELETE FROM webhook_deliveries WHERE id IN (
      SELECT id FROM webhook_deliveries WHERE status <> 'pending' AND created_at < ${before}
      ORDER BY created_at LIMIT ${atMost} FOR UPDATE SKIP LOCKED
    )`.execute(db);
  const messages = await sql`
    DELETE FROM webhook_messages WHERE id IN (
      SELECT id FROM webhook_messages WHERE occurred_at < ${before}
        AND NOT EXISTS (SELECT FROM webhook_deliveries WHERE message_id = webhook_messages.id)
      ORDER BY occurred_at LIMIT ${atMost} FOR UPDATE SKIP LOCKED
    )`.execute(db);
  return [deliveries, messages].some(({ numAffectedRows }) => Number(numAffectedRows) === atMost);
}
