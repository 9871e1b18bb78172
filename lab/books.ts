import pg from 'pg';
import { isOpen, REFUND_STATUSES } from '../src/domain/refund.js';
import type { SimulatedCall, SimulatedPayment, SimulatedRefund } from '../simulators/book.js';
import type { Control } from './control.js';
import { retried } from './retries.js';
import { WRITTEN_OFF_AFTER_MS } from './site.js';
import type { PaymentStory, RefundStory, VoteStory } from './stories.js';
import type { StoredEvent } from './trail.js';

/** Both sides' books, read once, payment by payment as the ledger knows them. */
export async function readBooks(databaseUrl: string, control: Control): Promise<PaymentStory[]> {
  const [ledger, books, calls] = await Promise.all([
    readLedger(databaseUrl),
    control.books(),
    control.struckCalls(),
  ]);
  return ledger.payments.map((payment): PaymentStory => {
    const isOfPayment = (each: SimulatedPayment | SimulatedRefund): boolean =>
      each.provider === payment.provider && each.providerPaymentId === payment.provider_payment_id;
    const shown = books.refunds.filter(isOfPayment);
    return {
      id: payment.id,
      provider: payment.provider,
      amountMinor: Number(payment.amount_minor),
      ledger: {
        refundedMinor: Number(payment.refunded_minor),
        reservedMinor: Number(payment.reserved_minor),
        externalMinor: Number(payment.external_minor),
      },
      refunds: ledger.refunds.filter((refund) => refund.payment_id === payment.id).map(storyOf),
      shown,
      struck: [
        ...calls.filter((call) => isAbout(call, payment)).map(faultName),
        ...shown.flatMap(({ fates }) => fates),
      ].filter((name) => name !== null),
    };
  });
}

/** As they were written: a payment's in their order, since all hold its lock. */
export async function readTrail(databaseUrl: string): Promise<StoredEvent[]> {
  const { rows } = await query<StoredEvent>(databaseUrl, 'SELECT * FROM refund_events ORDER BY id');
  return rows.map(({ payment_id, refund_id, sequence, type, origin, actor, ...rest }) => {
    const { reason, request_id, occurred_at, data, previous_hash, hash } = rest;
    const subject = { payment_id, refund_id, sequence, type, origin, actor };
    return { ...subject, reason, request_id, occurred_at, data, previous_hash, hash };
  });
}

export async function openRefundIds(databaseUrl: string): Promise<string[]> {
  const open = REFUND_STATUSES.filter(isOpen).map((status) => `'${status}'`);
  const sql = `SELECT id FROM refunds WHERE status IN (${open.join(', ')})`;
  return (await query<{ id: string }>(databaseUrl, sql)).rows.map(({ id }) => id);
}

export async function readVotes(databaseUrl: string): Promise<readonly VoteStory[]> {
  const sql =
    'SELECT refund_id AS "refundId", actor, decision, content_hash AS "contentHash" FROM votes ORDER BY voted_at';
  return (await query<VoteStory>(databaseUrl, sql)).rows;
}

/** Of refunds that wait for votes, and whose time is not over. */
export async function awaitedApprovals(databaseUrl: string): Promise<number> {
  const sql = `SELECT id FROM refunds WHERE status = 'requires_approval' AND approval_expires_at > now()`;
  return (await query(databaseUrl, sql)).rows.length;
}

interface PaymentRow {
  readonly id: string;
  readonly provider: string;
  readonly provider_payment_id: string;
  readonly amount_minor: string;
  readonly refunded_minor: string;
  readonly reserved_minor: string;
  readonly external_minor: string;
}

interface RefundRow {
  readonly id: string;
  readonly payment_id: string;
  readonly amount_minor: string;
  readonly status: RefundStory['status'];
  readonly reason: string | null;
  readonly money: RefundStory['money'];
  readonly provider_refund_id: string | null;
  readonly attempts: readonly (string | null)[] | null;
  readonly resolved: RefundStory['resolved'];
  readonly approval: RefundStory['approval'];
}

const REFUNDS = `
  SELECT id, payment_id, amount_minor, status, coalesce(pending_reason, failure_reason, review_reason) AS reason, money,
    provider_refund_id,
    (SELECT json_agg(conclusion ORDER BY number) FROM provider_attempts WHERE refund_id = refunds.id) AS attempts,
    (SELECT data ->> 'outcome' FROM refund_events WHERE refund_id = refunds.id AND type = 'review_resolved'
      ORDER BY sequence DESC LIMIT 1) AS resolved,
    CASE WHEN approval_round > 0 THEN
      json_build_object('state', approval_state, 'isOver', approval_expires_at <= now()) END AS approval
  FROM refunds`;

async function readLedger(databaseUrl: string) {
  const [payments, refunds] = await Promise.all([
    query<PaymentRow>(databaseUrl, 'SELECT * FROM payments'),
    query<RefundRow>(databaseUrl, REFUNDS),
  ]);
  return { payments: payments.rows, refunds: refunds.rows };
}

function query<Row extends pg.QueryResultRow>(url: string, sql: string): Promise<pg.QueryResult<Row>> {
  return retried(async () => {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
    // A connection that breaks also fails its query.
    client.on('error', () => undefined);
    await client.connect();
    try {
      return await client.query<Row>(sql);
    } finally {
      await client.end().catch(() => undefined);
    }
  }, QUERY_WITHIN_MS);
}

const QUERY_WITHIN_MS = 15_000;

function storyOf(row: RefundRow): RefundStory {
  return {
    id: row.id,
    amountMinor: Number(row.amount_minor),
    status: row.status,
    reason: row.reason,
    money: row.money,
    providerRefundId: row.provider_refund_id,
    attempts: row.attempts ?? [],
    resolved: row.resolved,
    approval: row.approval,
  };
}

/** A call names its payment in the path or in the body; a token call names none. */
function isAbout(call: SimulatedCall, payment: PaymentRow): boolean {
  return (
    call.provider === payment.provider &&
    decodeURIComponent(call.path + JSON.stringify(call.body)).includes(payment.provider_payment_id)
  );
}

/** Of a submit its bare name, of another call with the operation before it. */
function faultName({ operation, fault }: SimulatedCall): string | null {
  if (fault === undefined) return null;
  if (fault.name === 'late_effect' && fault.ms >= WRITTEN_OFF_AFTER_MS) return 'too_late_effect';
  return operation === 'submit' ? fault.name : `${operation} ${fault.name}`;
}
