import { sql } from 'kysely';
import { auditMacsOf, keyIdOfColumn, type AuditMacs } from '../audit-macs.js';
import type { Database, LedgerTransaction } from '../database.js';
import type { SealedEnd } from '../event-chain.js';
import type { PaymentRow, RefundRow } from '../refunds.js';
import { breaksBeside } from './beside.js';
import { paymentContradiction, refundContradiction, tellPayment, tellRefund, type Told } from './facts.js';
import {
  inWords,
  noCoverage,
  walkTrail,
  type Against,
  type Break,
  type Coverage,
  type StoredEvent,
  type TrailWalk,
} from './trail.js';

export interface Verification {
  readonly refunds: number;
  readonly payments: number;
  readonly coverage: Coverage;
  /** Trails whose last event has no MAC. */
  readonly trailsWithoutMac: number;
  readonly brokenTrails: number;
  /** One a broken trail, in the order of ids, refunds first, then what stands beside them; the first few. */
  readonly breaks: readonly Break[];
}

const ROWS_A_PAGE = 1_000;
const EVENTS_A_PAGE = 2_000;
const BREAKS_TOLD = 20;

/** What was seen so far; grows while the ledger is walked. */
type Tally = { -readonly [name in keyof Omit<Verification, 'breaks'>]: Verification[name] } & {
  breaks: Break[];
};

/** All trails as they stood at one instant; `also` looks at the same instant. Memory is bounded by a page. */
export async function verifyLedger(
  db: Database,
  also: (trx: LedgerTransaction, seen: Verification) => Promise<readonly Break[]> = async () => [],
): Promise<Verification> {
  return atOneInstant(db, async (trx) => {
    const against = await againstKeys(trx);
    const tally: Tally = {
      refunds: 0,
      payments: 0,
      coverage: noCoverage(),
      trailsWithoutMac: 0,
      brokenTrails: 0,
      breaks: [],
    };
    await walkRefunds(trx, against, tally);
    await walkPayments(trx, against, tally);
    for (const found of await breaksBeside(trx, BREAKS_TOLD)) note(tally, found);
    for (const found of await also(trx, tally)) note(tally, found);
    return tally;
  });
}

/** One refund's own trail and its payment's, each with its first break, and what stands beside the refund's. */
export async function verifyRefund(
  trx: LedgerTransaction,
  { refund, payment }: { readonly refund: RefundRow; readonly payment: PaymentRow },
  events: { readonly ofRefund: readonly StoredEvent[]; readonly ofPayment: readonly StoredEvent[] },
): Promise<{ readonly coverage: Coverage; readonly breaks: readonly Break[] }> {
  const against = await againstKeys(trx);
  const ofRefund = walkRefund(refund.id, against);
  for (const event of events.ofRefund) ofRefund.see(event);
  const held = await heldByRefunds(trx, [payment]);
  const ofPayment = walkPayment(payment.id, against, held);
  for (const event of events.ofPayment) ofPayment.see(event);
  const coverage = noCoverage();
  addCoverage(coverage, ofRefund.coverage);
  addCoverage(coverage, ofPayment.coverage);
  const ofTrails = [ofRefund.end(refund), ofPayment.end(payment)].filter((found) => found !== null);
  return { coverage, breaks: [...ofTrails, ...(await breaksBeside(trx, BREAKS_TOLD, refund.id))] };
}

export async function atOneInstant<T>(
  db: Database,
  work: (trx: LedgerTransaction) => Promise<T>,
): Promise<T> {
  return db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only').execute(work);
}

async function againstKeys(trx: LedgerTransaction): Promise<Against> {
  const macs = auditMacsOf(trx);
  return { macs, macsSinceId: macs && (await firstIdByKeyOf(trx, macs)) };
}

/** One look at the index for each key. */
async function firstIdByKeyOf(trx: LedgerTransaction, { keyIds }: AuditMacs): Promise<number | null> {
  const { rows } = await sql<{ readonly id: number | null }>`
    SELECT min(first.id) AS id FROM unnest(${[...keyIds]}::text[]) AS key (id), LATERAL (
      SELECT id FROM refund_events
      WHERE mac IS NOT NULL AND ${keyIdOfColumn} = key.id
      ORDER BY id LIMIT 1
    ) AS first
  `.execute(trx);
  return rows[0]?.id ?? null;
}

async function walkRefunds(trx: LedgerTransaction, against: Against, tally: Tally): Promise<void> {
  for (let after = ''; ;) {
    const rows = await trx
      .selectFrom('refunds')
      .selectAll()
      .where('id', '>', after)
      .orderBy('id')
      .limit(ROWS_A_PAGE)
      .execute();
    tally.refunds += rows.length;
    const until = rows.length < ROWS_A_PAGE ? null : (rows.at(-1)?.id ?? null);
    await walkPage(trx, rows, { after, until, column: 'refund_id' }, tally, (id) => walkRefund(id, against));
    if (until === null) return;
    after = until;
  }
}

async function walkPayments(trx: LedgerTransaction, against: Against, tally: Tally): Promise<void> {
  for (let after = ''; ;) {
    const rows = await trx
      .selectFrom('payments')
      .selectAll()
      .where('id', '>', after)
      .orderBy('id')
      .limit(ROWS_A_PAGE)
      .execute();
    tally.payments += rows.length;
    const until = rows.length < ROWS_A_PAGE ? null : (rows.at(-1)?.id ?? null);
    const held = await heldByRefunds(trx, rows);
    await walkPage(trx, rows, { after, until, column: 'payment_id' }, tally, (id) =>
      walkPayment(id, against, held),
    );
    if (until === null) return;
    after = until;
  }
}

function walkRefund(id: string, against: Against): Walk<RefundRow> {
  return walkWithRow(walkTrail({ kind: 'refund', id }, against), tellRefund, refundContradiction);
}

function walkPayment(id: string, against: Against, held: ReadonlyMap<string, Held>): Walk<PaymentRow> {
  return walkWithRow<PaymentRow>(walkTrail({ kind: 'payment', id }, against), tellPayment, (row, told) =>
    paymentContradiction(row, told, held.get(id) ?? NOTHING_HELD),
  );
}

/** The trail, and that the row says what its trail says. */
function walkWithRow<Row extends SealedEnd>(
  walk: TrailWalk,
  tell: (told: Told<Row>, event: StoredEvent) => void,
  contradiction: (row: Row, told: Told<Row>) => string | null,
): Walk<Row> {
  const told: Told<Row> = {};
  return {
    ...walk,
    see: (event) => {
      walk.see(event);
      if (!walk.isBroken()) tell(told, event);
    },
    end: (row) => {
      const found = walk.end(row);
      if (found || !row) return found;
      const what = inWords(() => contradiction(row, told));
      return what === null ? null : { trail: walk.trail, sequence: null, what };
    },
  };
}

interface Walk<Row> extends Omit<TrailWalk, 'end'> {
  end(row: Row | null): Break | null;
}

/** A range of ids; the last page has no end, so that trails without a row are met too. */
interface IdRange {
  readonly after: string;
  readonly until: string | null;
  readonly column: 'refund_id' | 'payment_id';
}

async function walkPage<Row extends SealedEnd & { readonly id: string }>(
  trx: LedgerTransaction,
  rows: readonly Row[],
  range: IdRange,
  tally: Tally,
  start: (id: string) => Walk<Row>,
): Promise<void> {
  const unseen = new Map(rows.map((row) => [row.id, row]));
  const finish = (walk: Walk<Row>): void => {
    const row = unseen.get(walk.trail.id) ?? null;
    unseen.delete(walk.trail.id);
    const found = walk.end(row);
    if (found) note(tally, found);
    if (row?.event_mac === null) tally.trailsWithoutMac += 1;
    addCoverage(tally.coverage, walk.coverage);
  };
  let walk: Walk<Row> | null = null;
  for await (const event of eventsIn(trx, range)) {
    const id = event[range.column] ?? '';
    if (walk?.trail.id !== id) {
      if (walk) finish(walk);
      walk = start(id);
    }
    walk.see(event);
  }
  if (walk) finish(walk);
  for (const id of [...unseen.keys()]) finish(start(id));
}

async function* eventsIn(
  trx: LedgerTransaction,
  { after, until, column }: IdRange,
): AsyncGenerator<StoredEvent> {
  let past: { readonly id: string; readonly sequence: number } = { id: after, sequence: 2 ** 31 - 1 };
  for (;;) {
    let query = trx
      .selectFrom('refund_events')
      .selectAll()
      .where('refund_id', column === 'refund_id' ? 'is not' : 'is', null)
      .where(sql<boolean>`(${sql.ref(column)}, sequence) > (${past.id}, ${past.sequence})`)
      .orderBy(column)
      .orderBy('sequence')
      .limit(EVENTS_A_PAGE);
    if (until !== null) query = query.where(column, '<=', until);
    const events = await query.execute();
    yield* events;
    const last = events.at(-1);
    if (!last || events.length < EVENTS_A_PAGE) return;
    past = { id: last[column] ?? '', sequence: last.sequence };
  }
}

interface Held {
  refundedMinor: number;
  reservedMinor: number;
}

const NOTHING_HELD: Held = { refundedMinor: 0, reservedMinor: 0 };

async function heldByRefunds(
  trx: LedgerTransaction,
  payments: readonly PaymentRow[],
): Promise<Map<string, Held>> {
  const held = new Map(payments.map(({ id }) => [id, { refundedMinor: 0, reservedMinor: 0 }]));
  if (held.size === 0) return held;
  const sums = await trx
    .selectFrom('refunds')
    .select(['payment_id', 'money', sql<number>`sum(amount_minor)::bigint`.as('sum_minor')])
    .where('payment_id', 'in', [...held.keys()])
    .groupBy(['payment_id', 'money'])
    .execute();
  for (const { payment_id: id, money, sum_minor: sumMinor } of sums) {
    const sum = held.get(id);
    if (sum && money === 'refunded') sum.refundedMinor = sumMinor;
    if (sum && money === 'reserved') sum.reservedMinor = sumMinor;
  }
  return held;
}

function note(tally: Tally, found: Break): void {
  tally.brokenTrails += 1;
  if (tally.breaks.length < BREAKS_TOLD) tally.breaks.push(found);
}

function addCoverage(sum: Coverage, part: Coverage): void {
  sum.events += part.events;
  sum.covered += part.covered;
  sum.withoutMac += part.withoutMac;
  sum.unchecked += part.unchecked;
  for (const [keyId, count] of part.unknownKeys) {
    sum.unknownKeys.set(keyId, (sum.unknownKeys.get(keyId) ?? 0) + count);
  }
}
