import type { SelectQueryBuilder } from 'kysely';
import type { Database, LedgerTransaction, Schema } from './database.js';

/** The operator's kill switch of a provider: while it is off nothing new is sent there; reading goes on. */
export interface SwitchChange {
  readonly provider: string;
  readonly actor: string;
  readonly reason: string;
  readonly requestId: string | null;
  readonly nowMs: number;
}

/** Safe to repeat: a provider that is paused already keeps who paused it first, and why. */
export async function pauseProvider(trx: LedgerTransaction, change: SwitchChange): Promise<void> {
  const pausedAt = new Date(change.nowMs);
  const { provider, actor, reason } = change;
  const paused = await trx
    .insertInto('provider_switches')
    .values({ provider, actor, reason, paused_at: pausedAt, resumed_at: null })
    .onConflict((conflict) =>
      conflict
        .column('provider')
        .doUpdateSet({ actor, reason, paused_at: pausedAt })
        .where('provider_switches.paused_at', 'is', null),
    )
    .returning('provider')
    .executeTakeFirst();
  if (paused) await appendProviderEvent(trx, 'provider_paused', change);
}

/** Safe to repeat. */
export async function resumeProvider(trx: LedgerTransaction, change: SwitchChange): Promise<void> {
  const resumed = await trx
    .updateTable('provider_switches')
    .set({
      paused_at: null,
      resumed_at: new Date(change.nowMs),
      actor: change.actor,
      reason: change.reason,
    })
    .where('provider', '=', change.provider)
    .where('paused_at', 'is not', null)
    .returning('provider')
    .executeTakeFirst();
  if (resumed) await appendProviderEvent(trx, 'provider_resumed', change);
}

export async function isPaused(db: Database | LedgerTransaction, provider: string): Promise<boolean> {
  const row = await pausedSince(db, provider).executeTakeFirst();
  return row?.paused_at != null;
}

export function pausedSince(
  db: Database | LedgerTransaction,
  provider: string,
): SelectQueryBuilder<Schema, 'provider_switches', { paused_at: Date | null }> {
  return db.selectFrom('provider_switches').select('paused_at').where('provider', '=', provider);
}

async function appendProviderEvent(
  trx: LedgerTransaction,
  type: string,
  change: SwitchChange,
): Promise<void> {
  await trx
    .insertInto('provider_events')
    .values({
      provider: change.provider,
      type,
      actor: change.actor,
      reason: change.reason,
      request_id: change.requestId,
      occurred_at: new Date(change.nowMs),
    })
    .execute();
}
