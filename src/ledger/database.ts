import { Kysely, type ColumnType, type Generated, type GeneratedAlways, type Transaction } from 'kysely';
import pg from 'pg';
import type { ProviderError, SubmitOutcome } from '../domain/provider.js';
import type { AbsentRead } from '../domain/absence.js';
import type { Evidence, FailureReason, PendingReason, RefundReason, RefundStatus } from '../domain/refund.js';
import type { PaymentMethod } from '../domain/payment.js';
import type { Policy } from '../domain/policy.js';
import type { AttemptSnapshot } from './attempts.js';
import { AuditedDialect, type AuditMacs } from './audit-macs.js';
import type { ExternalDoubt } from './standing.js';
import type { BrokenRule } from '../domain/eligibility.js';
import type { ApprovalState, VoteDecision } from '../domain/vote.js';
import type { MessageAction } from './front-door-messages.js';
import type { Doubt } from '../domain/reversal.js';
import type { DeliveryStatus } from './deliveries.js';
import type { SealedSecret } from './webhook-endpoints.js';

export type Database = Kysely<Schema>;
export type LedgerTransaction = Transaction<Schema>;

/** JSON columns are written as text, so that an array is never taken for a PostgreSQL array. */
type Json<T> = ColumnType<T, string, string>;

export interface Schema {
  payments: {
    id: string;
    provider: string;
    provider_payment_id: string;
    provider_payment_reference: string | null;
    amount_minor: number;
    currency: string;
    method: PaymentMethod;
    paid_at: Date;
    reference: string | null;
    metadata: Json<Record<string, string>>;
    refunded_minor: Generated<number>;
    reserved_minor: Generated<number>;
    external_minor: Generated<number>;
    settled_at: Date | null;
    external_read_at: Generated<Date | null>;
    external_doubt: ColumnType<ExternalDoubt | null, string | null | undefined, string | null>;
    event_sequence: Generated<number>;
    event_hash: Generated<string>;
    event_mac: Generated<string | null>;
    event_seal: Generated<string | null>;
    created_by: string;
    created_at: Date;
  };
  refunds: {
    id: string;
    payment_id: string;
    provider: string;
    amount_minor: number;
    currency: string;
    reason: RefundReason;
    description: string | null;
    reference: string | null;
    metadata: Json<Record<string, string>>;
    status: RefundStatus;
    pending_reason: PendingReason | null;
    failure_reason: FailureReason | null;
    review_reason: string | null;
    /** Who ends the review: the provider once it decides, or a person alone. */
    review_ends_by: 'provider' | 'person' | null;
    provider_refund_id: string | null;
    provider_error: ColumnType<ProviderError | null, string | null, string | null>;
    evidence: ColumnType<Evidence | null, string | null, string | null>;
    money: 'reserved' | 'refunded' | 'released';
    requested_by: string;
    request_id: string;
    content_hash: string;
    policy_version: string;
    /** 0: none is needed. */
    approvals_required: Generated<number>;
    approval_round: Generated<number>;
    approval_state: ColumnType<ApprovalState | null, ApprovalState | null | undefined, ApprovalState | null>;
    /** Who asked for this round: the requester, or who ordered the resend. */
    approval_opened_by: ColumnType<string | null, string | null | undefined, string | null>;
    approval_requested_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
    approval_expires_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
    refund_deadline: Date | null;
    submit_before: Date | null;
    attempt: Generated<number>;
    last_looked_at: Date | null;
    version: Generated<number>;
    event_sequence: Generated<number>;
    event_hash: Generated<string>;
    /** Null: its last event was written without AUDIT_KEYS. */
    event_mac: Generated<string | null>;
    event_seal: Generated<string | null>;
    created_at: Date;
    updated_at: Date;
  };
  votes: {
    refund_id: string;
    round: number;
    actor: string;
    decision: VoteDecision;
    content_hash: string;
    comment: string | null;
    proof: string;
    request_id: string;
    voted_at: Date;
  };
  front_door_messages: {
    nonce: string;
    refund_id: string;
    action: MessageAction;
    actor: string;
    proof: string;
    outcome: Json<unknown>;
    received_at: Date;
  };
  idempotency: {
    actor: string;
    key: string;
    fingerprint: string;
    refund_id: string;
    refusal: ColumnType<readonly BrokenRule[] | null, string | null, string | null>;
    admitting_run_id: string;
    first_ask_id: string;
    created_at: Date;
  };
  refund_events: {
    id: Generated<number>;
    payment_id: string;
    refund_id: string | null;
    sequence: number;
    type: string;
    origin: 'service' | 'provider';
    actor: string;
    reason: string | null;
    request_id: string | null;
    occurred_at: Date;
    data: Json<Record<string, unknown>>;
    previous_hash: string;
    hash: string;
    mac: string | null;
  };
  provider_attempts: {
    refund_id: string;
    number: number;
    payment_id: string;
    amount_minor: number;
    idempotency_key: string;
    claimed_at: Date;
    send_by: Date;
    snapshot: Json<AttemptSnapshot>;
    known_at_claim: Json<{ readonly landed: readonly string[]; readonly open: readonly string[] }>;
    sends: Generated<number>;
    last_sent_at: Date | null;
    answer: ColumnType<SubmitOutcome | null, string | null, string | null>;
    resend_after: Date | null;
    provider_refund_id: string | null;
    evidence: ColumnType<Evidence | null, string | null, string | null>;
    matched_by: 'id' | 'amount' | 'status' | null;
    absent_reads: ColumnType<readonly AbsentRead[], string | undefined, string>;
    conclusion: 'landed' | 'declined' | 'not_sent' | 'absent' | 'other_amount' | null;
    concluded_at: Date | null;
    doubts: ColumnType<readonly Doubt[], string | undefined, string>;
    watched_until: ColumnType<Date | null, undefined, Date | null>;
  };
  lanes: { payment_id: string; holder_refund_id: string; taken_at: Date };
  lane_waiters: {
    refund_id: string;
    payment_id: string;
    deadline: Date | null;
    enqueued_at: Date;
    seen_at: Date;
  };
  webhook_inbox: {
    provider: string;
    digest: string;
    body: Buffer;
    provider_payment_id: string | null;
    deliveries: Generated<number>;
    first_seen_at: Date;
    last_seen_at: Date;
    matched_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
  };
  api_keys: {
    id: string;
    hash: string;
    actor: string;
    roles: string[];
    created_at: Date;
    revoked_at: Generated<Date | null>;
    expires_at: Generated<Date | null>;
    replaced_by: Generated<string | null>;
    last_used_at: Generated<Date | null>;
  };
  actors: { folded: string; actor: string };
  provider_credentials: { owner: string; sealed: string; updated_at: Date };
  breakers: {
    provider: string;
    operation: 'read' | 'submit';
    failures: number;
    opened_at: Date | null;
    failed_probes: number;
    probe_at: Date | null;
    hold_until: Date | null;
    closed_at: Date | null;
  };
  provider_switches: {
    provider: string;
    paused_at: Date | null;
    resumed_at: Date | null;
    actor: string;
    reason: string;
  };
  provider_events: {
    id: Generated<number>;
    provider: string;
    type: string;
    actor: string;
    reason: string;
    request_id: string | null;
    occurred_at: Date;
  };
  reconciliations: {
    id: string;
    origin: 'schedule' | 'operator';
    requested_by: string;
    request_id: string | null;
    status: 'running' | 'completed';
    started_at: Date;
    finished_at: Date | null;
    report: Json<Record<string, unknown>>;
  };
  leases: { name: string; holder: string; until: Date };
  webhook_endpoints: {
    id: string;
    url: string;
    /** Null: all. */
    types: string[] | null;
    status: Generated<'active' | 'disabled'>;
    disabled_reason: ColumnType<string | null, undefined, string | null>;
    secrets: Json<readonly SealedSecret[]>;
    created_by: string;
    created_at: Date;
    updated_at: Date;
  };
  webhook_messages: {
    id: string;
    sequence: GeneratedAlways<number>;
    /** Null: a ping. */
    refund_id: string | null;
    version: number | null;
    type: string;
    body: string;
    occurred_at: Date;
  };
  webhook_deliveries: {
    id: string;
    endpoint_id: string;
    message_id: string;
    sequence: number;
    subject: string;
    status: Generated<DeliveryStatus>;
    attempts: Generated<number>;
    first_attempt_at: ColumnType<Date | null, undefined, Date | null>;
    last_attempt_at: ColumnType<Date | null, undefined, Date | null>;
    next_attempt_at: ColumnType<Date | null, undefined, Date | null>;
    last_status: ColumnType<number | null, undefined, number | null>;
    last_error: ColumnType<string | null, undefined, string | null>;
    delivered_at: ColumnType<Date | null, undefined, Date | null>;
    start_after: Date;
    created_at: Date;
  };
  policies: { version: string; content: Json<Policy>; first_used_at: Date };
}

/** bigint columns as numbers: amounts stay far below 2^53, and one that does not is a bug to stop at. */
function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError('a bigint column holds more than a safe integer');
  return value;
}

// For the whole process: the ledger is the only user of PostgreSQL here.
pg.types.setTypeParser(pg.types.builtins.INT8, parseInt8);

/** `auditMacs`: what the trail is written and checked with. */
export function openDatabase(
  url: string,
  options: { poolMax?: number; auditMacs?: AuditMacs | null; statementTimeoutMs?: number } = {},
): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max: options.poolMax ?? 10,
    connectionTimeoutMillis: 5_000,
    statement_timeout: options.statementTimeoutMs ?? 15_000,
    // A worker that froze inside a transaction must not hold a payment's lock for ever.
    idle_in_transaction_session_timeout: 60_000,
    keepAlive: true,
    // A transaction's beginning goes out with its first statement.
    pipeline: true,
  });
  // An idle connection that breaks is replaced on next use; without a listener it would end the process.
  pool.on('error', () => undefined);
  // The same for one that is in use: its query fails, and that is told to whoever asked.
  pool.on('connect', (client) => void client.on('error', () => undefined));
  return new Kysely<Schema>({ dialect: new AuditedDialect(pool, options.auditMacs ?? null) });
}
