/** Who may call a provider now, asked and answered in PostgreSQL, so that all workers agree. */
import { sql, type Selectable } from 'kysely';
import {
  afterCall,
  breakerState,
  turnAtMs,
  turnsGiven,
  UNTROUBLED,
  type Breaker,
  type CallResult,
  type Operation,
} from '../domain/breaker.js';
import type { ProviderError } from '../domain/provider.js';
import type { Database, Schema } from './database.js';
import { fixedQuery } from './fixed-query.js';
import { lockRefund, transition, type RefundRow } from './refunds.js';

export type Gate = { readonly kind: 'open'; readonly permit: Permit } | ShutGate;

export interface ShutGate {
  readonly kind: 'shut';
  readonly why: 'paused' | 'breaker' | 'hold' | 'turn';
  /** Since when it is so; null for a hold. */
  readonly sinceMs: number | null;
  /** When to ask again. */
  readonly retryAfterMs: number;
}

/** Leave to call once; what came of it is reported with it. */
export interface Permit {
  readonly provider: string;
  readonly operation: Operation;
  /** There were failures before: an answer must be written down. */
  readonly troubled: boolean;
  /** Reads are still to be probed: the reading before the submit does so. */
  readonly probesReads: boolean;
  /** This call is the probe of an open breaker; without a report, another one may be from then on. */
  readonly probeUntilMs: number | null;
}

export interface Asking {
  readonly provider: string;
  readonly operation: Operation;
  /** Which refund would be sent: one that has waited for the provider goes in its turn. */
  readonly refund?: RefundRow;
  /** Has the patience that a probe takes. */
  readonly mayProbe: boolean;
  /** A probe that has not been reported within this time is given up. */
  readonly probeMs: number;
  readonly retryMaxMs: number;
  readonly nowMs: number;
}

/** After trouble, this long the line is kept; whoever has not come by then goes by its own timer. */
const IN_LINE_FOR_MS = 120_000;
/** Who is woken this long before its turn is there in time, and waits for it in place. */
export const READY_BEFORE_TURN_MS = 3_000;

/** One read where all is well. A paused provider is still read; a submit reads first, so what shuts reads shuts it too. */
export async function mayCall(db: Database, asking: Asking): Promise<Gate> {
  const { operation, nowMs } = asking;
  const standing = await standingOfProvider(db, asking.provider, latestAhead(asking));
  if (operation === 'submit') {
    const { pausedAtMs } = standing;
    if (pausedAtMs !== null) return shut('paused', pausedAtMs, asking.retryMaxMs);
    const unread = whyShut(standing.read, nowMs);
    if (unread) return unread;
  }
  const closed = whyShut(standing[operation], nowMs);
  if (closed) return closed;
  const { failures, openedAtMs } = standing[operation];
  // A probe is for whoever comes: were it the first in line each time, one bad payment would fail them all.
  const outOfTurn =
    asking.refund && !isProbing(standing) ? await waitForTurn(db, asking.refund, standing, nowMs) : null;
  if (outOfTurn) return outOfTurn;

  const permit = {
    provider: asking.provider,
    operation,
    troubled: failures > 0,
    probesReads: operation === 'submit' && standing.read.openedAtMs !== null,
    probeUntilMs: null,
  };
  if (openedAtMs === null) return { kind: 'open', permit };
  if (!asking.mayProbe) return shut('breaker', openedAtMs, Math.min(asking.probeMs, asking.retryMaxMs));
  const probeUntilMs = nowMs + asking.probeMs;
  return (await takeProbe(db, asking, probeUntilMs))
    ? { kind: 'open', permit: { ...permit, probeUntilMs } }
    : shut('breaker', openedAtMs, Math.min(asking.probeMs, asking.retryMaxMs));
}

/** Writes down what a call told of its provider; nothing where all was and is well. Answers a change of the breaker. */
export async function reportCall(
  db: Database,
  permit: Permit,
  result: CallResult,
  { retryMaxMs, nowMs }: { retryMaxMs: number; nowMs: number },
): Promise<'opened' | 'closed' | null> {
  if (!permit.troubled && (result.kind === 'answered' || result.kind === 'unclear')) return null;
  const { provider, operation } = permit;
  return db.transaction().execute(async (trx) => {
    await trx
      .insertInto('breakers')
      .values({ provider, operation, ...toColumns(UNTROUBLED) })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    const row = await trx
      .selectFrom('breakers')
      .selectAll()
      .where('provider', '=', provider)
      .where('operation', '=', operation)
      .forUpdate()
      .executeTakeFirstOrThrow();
    const before = toBreaker(row);
    const probe = permit.probeUntilMs !== null;
    const after = afterCall(before, result, { probe, retryMaxMs, nowMs });
    await trx
      .updateTable('breakers')
      .set(toColumns(after))
      .where('provider', '=', provider)
      .where('operation', '=', operation)
      .execute();
    if ((before.openedAtMs === null) === (after.openedAtMs === null)) return null;
    return after.openedAtMs === null ? 'closed' : 'opened';
  });
}

/** A probe that came to no call may be taken by the next; silent where it was reported. */
export async function returnProbe(db: Database, permit: Permit, nowMs: number): Promise<void> {
  if (permit.probeUntilMs === null) return;
  await db
    .updateTable('breakers')
    .set({ probe_at: new Date(nowMs) })
    .where('provider', '=', permit.provider)
    .where('operation', '=', permit.operation)
    .where('opened_at', 'is not', null)
    .where('probe_at', '=', new Date(permit.probeUntilMs))
    .execute();
}

/**
 * Which refunds to wake, now that a provider may be called again: the unsent whose turn comes, earliest deadline
 * first; then those with an attempt under way that nobody has looked at or repeated since. While the probe is due, one of
 * them, another each time: were it the first in line, one bad payment would fail every probe.
 */
export async function dueParked(
  db: Database,
  provider: string,
  nowMs: number,
  limit: number,
): Promise<string[]> {
  const standing = await standingOfProvider(db, provider);
  const { read, submit, pausedAtMs } = standing;
  const sinceMs = inLineSinceMs(standing, nowMs);
  if (sinceMs === null || pausedAtMs !== null || whyShut(read, nowMs) || whyShut(submit, nowMs)) return [];

  if (isProbing(standing)) return prober(db, provider, read.failedProbes + submit.failedProbes);
  const unsent = await parked(db, provider)
    .select('id')
    .orderBy('refund_deadline', (order) => order.asc().nullsLast())
    .orderBy('created_at')
    .orderBy('id')
    .limit(Math.min(limit, turnsGiven(sinceMs, nowMs + READY_BEFORE_TURN_MS)))
    .execute();
  const underWay = await leftAlone(db, provider, sinceMs, nowMs, limit - unsent.length);
  return [...unsent, ...underWay].map(({ id }) => id);
}

async function prober(db: Database, provider: string, failedProbes: number): Promise<string[]> {
  const one = await parked(db, provider)
    .select('id')
    .orderBy(sql`md5(id || ${String(failedProbes)})`)
    .limit(1)
    .execute();
  return one.map(({ id }) => id);
}

/** A repeat that the provider asked to put off is not due. */
async function leftAlone(
  db: Database,
  provider: string,
  sinceMs: number,
  nowMs: number,
  limit: number,
): Promise<{ id: string }[]> {
  const since = new Date(sinceMs);
  return db
    .selectFrom('refunds')
    .innerJoin('provider_attempts as attempt', (join) =>
      join.onRef('attempt.refund_id', '=', 'refunds.id').onRef('attempt.number', '=', 'refunds.attempt'),
    )
    .select('refunds.id')
    .where('refunds.provider', '=', provider)
    .where('refunds.status', '=', 'pending')
    .where('refunds.pending_reason', 'in', ['outcome_unknown', 'provider_processing'])
    .where('attempt.last_sent_at', '<', since)
    .where(sql<boolean>`coalesce(refunds.last_looked_at, '-infinity') < ${since}`)
    .where(sql<boolean>`coalesce(attempt.resend_after, '-infinity') <= ${new Date(nowMs)}`)
    .orderBy('refunds.refund_deadline', (order) => order.asc().nullsLast())
    .orderBy('refunds.created_at')
    .limit(limit)
    .execute();
}

/** A refund that waits for its provider says what it waits for now, where that is another trouble than before. */
export async function showShut(
  db: Database,
  waiting: RefundRow,
  error: ProviderError,
  nowMs: number,
): Promise<void> {
  if (!waitsForOther(waiting, error)) return;
  await db.transaction().execute(async (trx) => {
    const { refund } = await lockRefund(trx, waiting.id);
    if (!waitsForOther(refund, error)) return;
    await transition(
      trx,
      refund,
      { status: 'pending', pendingReason: 'provider_unavailable', providerError: error },
      { type: 'submit_postponed', data: { reason: 'provider_unavailable', error } },
      nowMs,
    );
  });
}

function waitsForOther(refund: RefundRow, error: ProviderError): boolean {
  return (
    refund.status === 'pending' &&
    refund.pending_reason === 'provider_unavailable' &&
    refund.provider_error?.code !== error.code
  );
}

interface ProviderStanding {
  readonly read: Breaker;
  readonly submit: Breaker;
  readonly pausedAtMs: number | null;
  readonly resumedAtMs: number | null;
}

/** What lies further ahead than anybody may set it was set by a clock that was wrong, and counts as over. */
function latestAhead({ nowMs, retryMaxMs, probeMs }: Asking): number {
  return nowMs + Math.max(retryMaxMs, probeMs);
}

const gatesOf = fixedQuery((db, { provider }: { readonly provider: string }) =>
  db
    .selectFrom(sql<{ name: string }>`(SELECT ${provider}::text AS name)`.as('asked'))
    .leftJoin('provider_switches as switch', 'switch.provider', 'asked.name')
    .leftJoin('breakers as breaker', 'breaker.provider', 'asked.name')
    .selectAll('breaker')
    .select(['switch.paused_at', 'switch.resumed_at']),
);

async function standingOfProvider(
  db: Database,
  provider: string,
  latestMs = Infinity,
): Promise<ProviderStanding> {
  const rows = await gatesOf(db, { provider });
  const breakerOf = (operation: Operation): Breaker => {
    const row = rows.find((each) => each.operation === operation);
    if (!row) return UNTROUBLED;
    const breaker = toBreaker(row);
    const over = (atMs: number | null): number | null => (atMs !== null && atMs > latestMs ? 0 : atMs);
    return { ...breaker, holdUntilMs: over(breaker.holdUntilMs), probeAtMs: over(breaker.probeAtMs) };
  };
  return {
    read: breakerOf('read'),
    submit: breakerOf('submit'),
    pausedAtMs: rows[0]?.paused_at?.getTime() ?? null,
    resumedAtMs: rows[0]?.resumed_at?.getTime() ?? null,
  };
}

function whyShut(breaker: Breaker, nowMs: number): ShutGate | null {
  const { holdUntilMs, openedAtMs, probeAtMs } = breaker;
  if (holdUntilMs !== null && nowMs < holdUntilMs) return shut('hold', null, holdUntilMs - nowMs);
  if (breakerState(breaker, nowMs) !== 'open') return null;
  return shut('breaker', openedAtMs, (probeAtMs ?? nowMs) - nowMs);
}

/** Of gates that are not shut: then an open breaker's probe is due. */
function isProbing({ read, submit }: ProviderStanding): boolean {
  return read.openedAtMs !== null || submit.openedAtMs !== null;
}

/** Compare-and-set: of those who find the probe due, one gets it. */
async function takeProbe(db: Database, asking: Asking, probeUntilMs: number): Promise<boolean> {
  const taken = await db
    .updateTable('breakers')
    .set({ probe_at: new Date(probeUntilMs) })
    .where('provider', '=', asking.provider)
    .where('operation', '=', asking.operation)
    .where('opened_at', 'is not', null)
    .where((where) =>
      where.or([
        where('probe_at', '<=', new Date(asking.nowMs)),
        where('probe_at', '>', new Date(latestAhead(asking))),
      ]),
    )
    .executeTakeFirst();
  return taken.numUpdatedRows === 1n;
}

/** Counts who is still parked, not who was: nobody waits for one that has gone, or that will never come. */
async function waitForTurn(
  db: Database,
  refund: RefundRow,
  standing: ProviderStanding,
  nowMs: number,
): Promise<ShutGate | null> {
  const sinceMs = inLineSinceMs(standing, nowMs);
  if (sinceMs === null || refund.status !== 'pending' || refund.pending_reason !== 'provider_unavailable') {
    return null;
  }
  const { refund_deadline: deadline, created_at: createdAt, id } = refund;
  const { rank } = await parked(db, refund.provider)
    .select((select) => select.fn.countAll<number>().as('rank'))
    .where(
      sql<boolean>`(coalesce(refund_deadline, 'infinity'), created_at, id)
        < (coalesce(${deadline}::timestamptz, 'infinity'), ${createdAt}::timestamptz, ${id})`,
    )
    .executeTakeFirstOrThrow();
  const turnMs = turnAtMs(sinceMs, rank);
  return nowMs >= turnMs ? null : shut('turn', sinceMs, Math.ceil(turnMs - nowMs));
}

function parked(db: Database, provider: string) {
  return db
    .selectFrom('refunds')
    .where('provider', '=', provider)
    .where('status', '=', 'pending')
    .where('pending_reason', '=', 'provider_unavailable');
}

/** When calls became possible again, a probe's included, where that is so short ago that the line is kept. */
function inLineSinceMs({ read, submit, resumedAtMs }: ProviderStanding, nowMs: number): number | null {
  const ofBreakers = [read, submit].flatMap(({ closedAtMs, probeAtMs }) => [closedAtMs, probeAtMs]);
  const ends = [...ofBreakers, read.holdUntilMs, resumedAtMs];
  const sinceMs = Math.max(...ends.map((endMs) => (endMs !== null && endMs <= nowMs ? endMs : 0)));
  return nowMs - sinceMs <= IN_LINE_FOR_MS ? sinceMs : null;
}

function shut(why: ShutGate['why'], sinceMs: number | null, retryAfterMs: number): ShutGate {
  return { kind: 'shut', why, sinceMs, retryAfterMs };
}

type BreakerColumns = Omit<Selectable<Schema['breakers']>, 'provider' | 'operation'>;

export function toBreaker(row: { [Column in keyof BreakerColumns]: BreakerColumns[Column] | null }): Breaker {
  return {
    failures: row.failures ?? 0,
    openedAtMs: row.opened_at?.getTime() ?? null,
    failedProbes: row.failed_probes ?? 0,
    probeAtMs: row.probe_at?.getTime() ?? null,
    holdUntilMs: row.hold_until?.getTime() ?? null,
    closedAtMs: row.closed_at?.getTime() ?? null,
  };
}

function toColumns(breaker: Breaker): BreakerColumns {
  return {
    failures: breaker.failures,
    opened_at: toDate(breaker.openedAtMs),
    failed_probes: breaker.failedProbes,
    probe_at: toDate(breaker.probeAtMs),
    hold_until: toDate(breaker.holdUntilMs),
    closed_at: toDate(breaker.closedAtMs),
  };
}

function toDate(atMs: number | null): Date | null {
  return atMs === null ? null : new Date(atMs);
}
