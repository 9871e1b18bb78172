/** What the ledger says about everything at once, for whoever watches it. */
import { sql } from 'kysely';
import type { PendingReason, RefundStatus } from '../domain/refund.js';
import type { Database } from './database.js';

export interface LedgerFigures {
  readonly refunds: readonly {
    readonly provider: string;
    readonly status: RefundStatus;
    readonly count: number;
  }[];
  readonly open: readonly OpenFigures[];
  readonly openAttempts: readonly {
    readonly provider: string;
    readonly answer: AttemptAnswer;
    readonly count: number;
  }[];
  readonly openBreakers: readonly { readonly provider: string; readonly operation: 'read' | 'submit' }[];
  readonly pausedProviders: readonly string[];
  readonly unmatchedWebhooks: readonly { readonly provider: string; readonly count: number }[];
  readonly outbound: OutboundFigures;
}

/** Open refunds of one kind. */
export interface OpenFigures {
  readonly provider: string;
  readonly status: RefundStatus;
  readonly pendingReason: PendingReason | null;
  readonly reviewEndsBy: 'provider' | 'person' | null;
  readonly currency: string;
  readonly count: number;
  readonly amountMinor: number;
  /** Since when the one that has been like this for the longest has been like this. */
  readonly oldestAt: Date;
  /** Of these, nothing is sent, and less than a day is left to send it. */
  readonly deadlineWithinDay: number;
  /** Of these, the time for votes is over within a day. */
  readonly approvalEndsWithinDay: number;
  /** Of these, the time for votes is over, and was not ended as it should have been. */
  readonly approvalsOverdue: number;
}

/** Webhooks to others. */
export interface OutboundFigures {
  readonly pending: number;
  /** Of these, due for a minute, and nobody has begun with them. */
  readonly overdue: number;
  /** Since when the one waits that has waited for the longest; null: none does. */
  readonly oldestAt: Date | null;
  readonly disabledEndpoints: number;
}

/** What an attempt was answered while nobody knows yet what became of it. */
export const ATTEMPT_ANSWERS = ['none', 'unknown', 'accepted', 'declined'] as const;
export type AttemptAnswer = (typeof ATTEMPT_ANSWERS)[number];

/** Why a pending refund waits while nothing of it is at the provider. */
const UNSENT_REASONS: readonly PendingReason[] = [
  'validating',
  'queued',
  'insufficient_balance',
  'provider_unavailable',
  'authorization_required',
];
const DAY_MS = 86_400_000;
/** A run ends its approval within seconds, and one that is taken up again within two sweeps. */
const OVERDUE_AFTER_MS = 120_000;
/** Upkeep offers what is due each second. */
const DELIVERY_OVERDUE_AFTER_MS = 60_000;

/** One query after another, so that a scrape takes one connection; open things come from partial indexes. */
export async function readFigures(db: Database, nowMs: number): Promise<LedgerFigures> {
  const refunds = await db
    .selectFrom('refunds')
    .select((select) => ['provider', 'status', select.fn.countAll<number>().as('count')])
    .groupBy(['provider', 'status'])
    .execute();
  const open = await openFigures(db, nowMs);
  const openAttempts = await db
    .selectFrom('provider_attempts as attempt')
    .innerJoin('refunds', 'refunds.id', 'attempt.refund_id')
    .select((select) => [
      'refunds.provider',
      answerKind.as('answer'),
      select.fn.countAll<number>().as('count'),
    ])
    .where('attempt.conclusion', 'is', null)
    .groupBy(['refunds.provider', answerKind])
    .execute();
  const openBreakers = await db
    .selectFrom('breakers')
    .select(['provider', 'operation'])
    .where('opened_at', 'is not', null)
    .execute();
  const paused = await db
    .selectFrom('provider_switches')
    .select('provider')
    .where('paused_at', 'is not', null)
    .execute();
  const unmatchedWebhooks = await db
    .selectFrom('webhook_inbox')
    .select((select) => ['provider', select.fn.countAll<number>().as('count')])
    .where('matched_at', 'is', null)
    .where('provider_payment_id', 'is not', null)
    .groupBy('provider')
    .execute();
  return {
    refunds,
    open,
    openAttempts,
    openBreakers,
    pausedProviders: paused.map(({ provider }) => provider),
    unmatchedWebhooks,
    outbound: await outboundFigures(db, nowMs),
  };
}

async function outboundFigures(db: Database, nowMs: number): Promise<OutboundFigures> {
  const overdue = sql<number>`count(*) FILTER (WHERE start_after < ${new Date(nowMs - DELIVERY_OVERDUE_AFTER_MS)})`;
  const waiting = await db
    .selectFrom('webhook_deliveries')
    .select((select) => [
      select.fn.countAll<number>().as('pending'),
      overdue.as('overdue'),
      select.fn.min('created_at').as('oldestAt'),
    ])
    .where('status', '=', 'pending')
    .executeTakeFirstOrThrow();
  const { disabledEndpoints } = await db
    .selectFrom('webhook_endpoints')
    .select((select) => select.fn.countAll<number>().as('disabledEndpoints'))
    .where('status', '=', 'disabled')
    .executeTakeFirstOrThrow();
  return { ...waiting, disabledEndpoints };
}

/** An open attempt whose repeat did not leave is as unclear as before: the ledger shows it so too. */
const answerKind = sql<AttemptAnswer>`CASE coalesce(attempt.answer ->> 'kind', 'none')
  WHEN 'none' THEN 'none' WHEN 'accepted' THEN 'accepted' WHEN 'declined' THEN 'declined' ELSE 'unknown' END`;

async function openFigures(db: Database, nowMs: number): Promise<OpenFigures[]> {
  const unsentLate = sql<number>`count(*) FILTER (WHERE submit_before < ${new Date(nowMs + DAY_MS)}
    AND (status = 'requires_approval' OR pending_reason IN (${sql.join(UNSENT_REASONS)})))`;
  const votesEndSoon = sql<number>`count(*) FILTER (WHERE status = 'requires_approval'
    AND approval_expires_at < ${new Date(nowMs + DAY_MS)})`;
  const votesOverdue = sql<number>`count(*) FILTER (WHERE status = 'requires_approval'
    AND approval_expires_at < ${new Date(nowMs - OVERDUE_AFTER_MS)})`;
  return (
    db
      .selectFrom('refunds')
      .select((select) => [
        'provider',
        'status',
        'pending_reason as pendingReason',
        'review_ends_by as reviewEndsBy',
        'currency',
        select.fn.countAll<number>().as('count'),
        sql<number>`sum(amount_minor)::bigint`.as('amountMinor'),
        select.fn.min('updated_at').as('oldestAt'),
        unsentLate.as('deadlineWithinDay'),
        votesEndSoon.as('approvalEndsWithinDay'),
        votesOverdue.as('approvalsOverdue'),
      ])
      // As the partial index says it, so that it is used.
      .where('status', 'in', ['requires_approval', 'pending', 'review'])
      .groupBy(['provider', 'status', 'pending_reason', 'review_ends_by', 'currency'])
      .execute()
  );
}
