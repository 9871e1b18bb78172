import { sql, type Selectable } from 'kysely';
import type { BrokenRule } from '../domain/eligibility.js';
import type { RefundStatus } from '../domain/refund.js';
import type { Database, Schema } from './database.js';
import { fixedQuery } from './fixed-query.js';
import { pageOf, type Page, type PageRequest } from './page.js';

/** A refund as the ledger holds it, with the provider's own id of its payment. */
export type RefundRow = Selectable<Schema['refunds']> & {
  readonly provider_payment_id: string;
  /** Of the present round, oldest first. */
  readonly votes: readonly CastVote[];
};
/** `voted_at` as PostgreSQL writes it into JSON. */
type CastVote = Pick<Selectable<Schema['votes']>, 'actor' | 'decision' | 'comment'> & {
  readonly voted_at: string;
};

export type EventRow = Selectable<Schema['refund_events']>;

export interface RefundFilters {
  readonly status: RefundStatus | null;
  readonly provider: string | null;
  readonly paymentId: string | null;
  readonly reference: string | null;
  readonly createdFromMs: number | null;
  readonly createdBeforeMs: number | null;
}

export async function findRefund(db: Database, id: string): Promise<RefundRow | null> {
  return (await refundsWithPayments(db).where('refunds.id', '=', id).executeTakeFirst()) ?? null;
}

/** Newest first. Null: the cursor names no refund. */
export async function listRefunds(
  db: Database,
  filters: RefundFilters,
  page: PageRequest,
): Promise<Page<RefundRow> | null> {
  let query = refundsWithPayments(db);
  if (filters.status !== null) query = query.where('refunds.status', '=', filters.status);
  if (filters.provider !== null) query = query.where('refunds.provider', '=', filters.provider);
  if (filters.paymentId !== null) query = query.where('refunds.payment_id', '=', filters.paymentId);
  if (filters.reference !== null) query = query.where('refunds.reference', '=', filters.reference);
  if (filters.createdFromMs !== null) {
    query = query.where('refunds.created_at', '>=', new Date(filters.createdFromMs));
  }
  if (filters.createdBeforeMs !== null) {
    query = query.where('refunds.created_at', '<', new Date(filters.createdBeforeMs));
  }
  const { status, provider, paymentId, reference } = filters;
  const isOfAll = (status ?? provider ?? paymentId ?? reference) === null;
  // As the index for this list says it.
  if (isOfAll) query = query.where(sql<boolean>`refunds.id <> ''`);
  const cursor = page.cursor;
  const direction = cursor?.side === 'before' ? 'asc' : 'desc';
  if (cursor !== null) {
    const at = await db
      .selectFrom('refunds')
      .select(['id', 'created_at'])
      .where('id', '=', cursor.id)
      .executeTakeFirst();
    if (!at) return null;
    const comparison = cursor.side === 'before' ? sql.raw('>') : sql.raw('<');
    query = query.where(
      sql<boolean>`(refunds.created_at, refunds.id) ${comparison} (${at.created_at}, ${at.id})`,
    );
  }
  const rows = await query
    .orderBy('refunds.created_at', direction)
    .orderBy('refunds.id', direction)
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page);
}

/** The trail of one refund, or of a payment with all its refunds; oldest first. Null: the cursor is none of its events. */
export async function listEvents(
  db: Database,
  of: { readonly refundId: string } | { readonly paymentId: string },
  page: PageRequest,
): Promise<Page<EventRow> | null> {
  let query = db.selectFrom('refund_events').selectAll();
  query =
    'refundId' in of
      ? query.where('refund_id', '=', of.refundId)
      : query.where('payment_id', '=', of.paymentId);
  const cursor = page.cursor;
  if (cursor !== null) {
    const id = Number(cursor.id);
    if (!Number.isSafeInteger(id) || !(await query.where('id', '=', id).executeTakeFirst())) return null;
    query = query.where('id', cursor.side === 'before' ? '<' : '>', id);
  }
  const rows = await query
    .orderBy('id', cursor?.side === 'before' ? 'desc' : 'asc')
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page);
}

export interface StoredOutcome {
  readonly fingerprint: string;
  readonly refundId: string;
  /** Null: admitted. */
  readonly refusal: readonly BrokenRule[] | null;
  /** Which request asked first. */
  readonly firstAskId: string;
  /** Null: there is none by that id, as after a refusal. */
  readonly refund: RefundRow | null;
}

/** What became of an idempotency key; null: nothing is stored under it. */
export async function findOutcomeOfKey(
  db: Database,
  actor: string,
  key: string,
): Promise<StoredOutcome | null> {
  const [row] = await outcomesWithRefunds(db, { actor, key });
  if (!row) return null;
  const { fingerprint, refund_id: refundId, refusal, first_ask_id: firstAskId, ...refund } = row;
  return {
    fingerprint,
    refundId,
    refusal,
    firstAskId,
    refund: refund.id === null ? null : (refund as RefundRow),
  };
}

const outcomesWithRefunds = fixedQuery((db, given: { actor: string; key: string }) =>
  db
    .selectFrom('idempotency')
    .leftJoin('refunds', 'refunds.id', 'idempotency.refund_id')
    .leftJoin('payments', 'payments.id', 'refunds.payment_id')
    .select([
      'idempotency.fingerprint',
      'idempotency.refund_id',
      'idempotency.refusal',
      'idempotency.first_ask_id',
    ])
    .selectAll('refunds')
    .select('payments.provider_payment_id')
    .select(votesOfRound.as('votes'))
    .where('idempotency.actor', '=', given.actor)
    .where('idempotency.key', '=', given.key),
);

function refundsWithPayments(db: Database) {
  return db
    .selectFrom('refunds')
    .innerJoin('payments', 'payments.id', 'refunds.payment_id')
    .selectAll('refunds')
    .select('payments.provider_payment_id')
    .select(votesOfRound.as('votes'));
}

const votesOfRound = sql<readonly CastVote[]>`(
  SELECT coalesce(json_agg(json_build_object(
    'actor', vote.actor, 'decision', vote.decision, 'comment', vote.comment, 'voted_at', vote.voted_at
  ) ORDER BY vote.voted_at, vote.actor), '[]')
  FROM votes AS vote
  WHERE vote.refund_id = refunds.id AND vote.round = refunds.approval_round
)`;
