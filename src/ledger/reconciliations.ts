/** The runs that compare the ledger with the providers, and their reports. */
import { sql, type Selectable } from 'kysely';
import type { Database, LedgerTransaction, Schema } from './database.js';

export const DIFFERENCE_KINDS = [
  'adopted',
  'reversed',
  'landed_late',
  'external',
  'disappeared',
  'other_amount',
  'overshoot',
] as const;
export type DifferenceKind = (typeof DIFFERENCE_KINDS)[number];

export interface Difference {
  readonly kind: DifferenceKind;
  readonly paymentId: string;
  /** Null where it concerns the payment as a whole. */
  readonly refundId: string | null;
  readonly detail: string;
}

export interface ReconciliationReport {
  readonly paymentsRead: number;
  readonly paymentsUnreadable: number;
  readonly webhooksMatched: number;
  readonly found: Readonly<Record<DifferenceKind, number>>;
  /** The first ones; `found` counts all. */
  readonly differences: readonly Difference[];
}

export type ReconciliationRow = Omit<Selectable<Schema['reconciliations']>, 'report'> & {
  readonly report: ReconciliationReport;
};

/** More would be read by nobody, and the row is written anew with each. */
const DIFFERENCES_MAX = 500;

interface NewReconciliation {
  readonly id: string;
  readonly origin: 'schedule' | 'operator';
  readonly requestedBy: string;
  readonly requestId: string | null;
  readonly nowMs: number;
}

/** The run that is going, else a new one. */
export async function openReconciliation(
  db: Database,
  wanted: NewReconciliation,
): Promise<ReconciliationRow> {
  return db.transaction().execute(async (trx) => {
    await sql`SELECT pg_advisory_xact_lock(hashtextextended('reconciliations', 0))`.execute(trx);
    const running = await trx
      .selectFrom('reconciliations')
      .select('id')
      .where('status', '=', 'running')
      .orderBy('started_at')
      .limit(1)
      .executeTakeFirst();
    if (!running) await storeReconciliation(trx, wanted);
    return existing(trx, running?.id ?? wanted.id);
  });
}

/** Safe to repeat: a run that has its row keeps it. */
export async function storeReconciliation(
  db: Database | LedgerTransaction,
  wanted: NewReconciliation,
): Promise<void> {
  await db
    .insertInto('reconciliations')
    .values({
      id: wanted.id,
      origin: wanted.origin,
      requested_by: wanted.requestedBy,
      request_id: wanted.requestId,
      status: 'running',
      started_at: new Date(wanted.nowMs),
      finished_at: null,
      report: JSON.stringify(EMPTY),
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

export async function findReconciliation(db: Database, id: string): Promise<ReconciliationRow | null> {
  const row = await db.selectFrom('reconciliations').selectAll().where('id', '=', id).executeTakeFirst();
  return row ? withReport(row) : null;
}

/** In the transaction that made the findings, so that each is told once, whatever is repeated. */
export async function noteFindings(
  trx: LedgerTransaction,
  id: string,
  found: readonly Difference[],
  webhooksMatched: number,
): Promise<void> {
  if (found.length === 0 && webhooksMatched === 0) return;
  await changeReport(trx, id, (report) => ({
    ...report,
    webhooksMatched: report.webhooksMatched + webhooksMatched,
    found: counted(report.found, found),
    differences: [...report.differences, ...found].slice(0, DIFFERENCES_MAX),
  }));
}

/** How far a run has come, in absolute numbers: safe to repeat. */
export async function noteProgress(
  db: Database,
  id: string,
  progress: Pick<ReconciliationReport, 'paymentsRead' | 'paymentsUnreadable'>,
): Promise<void> {
  await db.transaction().execute((trx) => changeReport(trx, id, (report) => ({ ...report, ...progress })));
}

/** Safe to repeat. */
export async function completeReconciliation(db: Database, id: string, nowMs: number): Promise<void> {
  await db
    .updateTable('reconciliations')
    .set({ status: 'completed', finished_at: new Date(nowMs) })
    .where('id', '=', id)
    .where('status', '=', 'running')
    .execute();
}

const EMPTY: ReconciliationReport = {
  paymentsRead: 0,
  paymentsUnreadable: 0,
  webhooksMatched: 0,
  found: Object.fromEntries(DIFFERENCE_KINDS.map((kind) => [kind, 0])) as Record<DifferenceKind, number>,
  differences: [],
};

function counted(
  before: ReconciliationReport['found'],
  found: readonly Difference[],
): ReconciliationReport['found'] {
  const counts = { ...before };
  for (const { kind } of found) counts[kind] += 1;
  return counts;
}

async function changeReport(
  trx: LedgerTransaction,
  id: string,
  change: (report: ReconciliationReport) => ReconciliationReport,
): Promise<void> {
  const row = await trx
    .selectFrom('reconciliations')
    .select('report')
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirstOrThrow();
  const report = JSON.stringify(change(row.report as unknown as ReconciliationReport));
  await trx.updateTable('reconciliations').set({ report }).where('id', '=', id).execute();
}

async function existing(trx: LedgerTransaction, id: string): Promise<ReconciliationRow> {
  const row = await trx
    .selectFrom('reconciliations')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirstOrThrow();
  return withReport(row);
}

function withReport(row: Selectable<Schema['reconciliations']>): ReconciliationRow {
  return { ...row, report: row.report as unknown as ReconciliationReport };
}
