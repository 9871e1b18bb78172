import { sql } from 'kysely';
import type { Payment, PaymentMethod } from '../domain/payment.js';
import { storeCredential } from './credentials.js';
import type { Database, LedgerTransaction } from './database.js';
import { appendPaymentEvent } from './event-chain.js';
import { pageOf, type Page, type PageRequest } from './page.js';
import { paymentFromRow } from './payment-row.js';
import { standingOf, type Standing } from './standing.js';

export interface PaymentRegistration {
  readonly id: string;
  readonly provider: string;
  /** Canonical. */
  readonly providerPaymentId: string;
  readonly providerPaymentReference: string | null;
  readonly amountMinor: number;
  readonly currency: string;
  readonly method: PaymentMethod;
  readonly paidAtMs: number;
  readonly reference: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  /** The payment's own refresh token, already sealed; null: none was given. */
  readonly sealedCredential: string | null;
  readonly actor: string;
  readonly requestId: string;
}

export type RegisteredFact =
  'amount' | 'currency' | 'paid_at' | 'method' | 'provider_payment_reference' | 'reference' | 'metadata';

export type RegistrationResult =
  | { readonly kind: 'created' | 'same'; readonly payment: Payment }
  | { readonly kind: 'conflict'; readonly differing: readonly RegisteredFact[] };

/** Registers a payment once: a repeat with the same facts changes nothing, but may renew the credential. */
export async function registerPayment(
  db: Database,
  registration: PaymentRegistration,
  nowMs: number,
): Promise<RegistrationResult> {
  return db.transaction().execute(async (trx) => {
    const created = await insertPayment(trx, registration, nowMs);
    const payment = created ?? (await registeredBefore(trx, registration));
    const differing = created ? [] : differingFacts(registration, payment);
    if (differing.length > 0) return { kind: 'conflict', differing };

    if (created) await recordRegistration(trx, registration, nowMs);
    if (registration.sealedCredential !== null) {
      await storeCredential(trx, { owner: payment.id, sealed: registration.sealedCredential, nowMs });
    }
    return { kind: created ? 'created' : 'same', payment };
  });
}

export async function findPayment(db: Database, id: string): Promise<Payment | null> {
  const row = await db.selectFrom('payments').selectAll().where('id', '=', id).executeTakeFirst();
  return row ? paymentFromRow(row) : null;
}

export async function findPaymentAtProvider(
  db: Database,
  provider: string,
  canonicalPaymentId: string,
): Promise<Payment | null> {
  const row = await db
    .selectFrom('payments')
    .selectAll()
    .where('provider', '=', provider)
    .where('provider_payment_id', '=', canonicalPaymentId)
    .executeTakeFirst();
  return row ? paymentFromRow(row) : null;
}

export interface PaymentFilters {
  readonly provider: string | null;
  /** The forms that the asked id takes at each provider it could belong to; null: any payment. */
  readonly providerIds: readonly { readonly provider: string; readonly canonicalPaymentId: string }[] | null;
}

/** Newest first. Null: the cursor names no payment. */
export async function listPayments(
  db: Database,
  filters: PaymentFilters,
  page: PageRequest,
): Promise<Page<Payment> | null> {
  if (filters.providerIds?.length === 0) return { items: [], hasMore: false };
  let query = db.selectFrom('payments').selectAll();
  if (filters.provider !== null) query = query.where('provider', '=', filters.provider);
  const ids = filters.providerIds;
  if (ids !== null) {
    query = query.where((where) =>
      where.or(
        ids.map((id) => where.and({ provider: id.provider, provider_payment_id: id.canonicalPaymentId })),
      ),
    );
  }
  const cursor = page.cursor;
  const direction = cursor?.side === 'before' ? 'asc' : 'desc';
  if (cursor !== null) {
    const at = await db
      .selectFrom('payments')
      .select(['id', 'created_at'])
      .where('id', '=', cursor.id)
      .executeTakeFirst();
    if (!at) return null;
    const comparison = cursor.side === 'before' ? sql.raw('>') : sql.raw('<');
    query = query.where(sql<boolean>`(created_at, id) ${comparison} (${at.created_at}, ${at.id})`);
  }
  const rows = await query
    .orderBy('created_at', direction)
    .orderBy('id', direction)
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows.map(paymentFromRow), page);
}

/** How many refunds of ours hold or moved money of each payment. */
export async function countLiveRefunds(
  db: Database,
  payments: readonly Payment[],
): Promise<Map<string, number>> {
  const counts = new Map(payments.map((payment) => [payment.id, 0]));
  if (payments.length === 0) return counts;
  const rows = await db
    .selectFrom('refunds')
    .select(['payment_id', (count) => count.fn.countAll<number>().as('live')])
    .where('payment_id', 'in', [...counts.keys()])
    .where('money', 'in', ['reserved', 'refunded'])
    .groupBy('payment_id')
    .execute();
  for (const row of rows) counts.set(row.payment_id, (counts.get(row.payment_id) ?? 0) + row.live);
  return counts;
}

/** A payment with what the ledger knows of its refunds, read at one instant. */
export async function readStanding(
  db: Database,
  paymentId: string,
): Promise<{ payment: Payment; standing: Standing } | null> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (trx) => {
      const row = await trx.selectFrom('payments').selectAll().where('id', '=', paymentId).executeTakeFirst();
      return row ? { payment: paymentFromRow(row), standing: await standingOf(trx, row) } : null;
    });
}

async function insertPayment(
  trx: LedgerTransaction,
  registration: PaymentRegistration,
  nowMs: number,
): Promise<Payment | null> {
  const row = await trx
    .insertInto('payments')
    .values({
      id: registration.id,
      provider: registration.provider,
      provider_payment_id: registration.providerPaymentId,
      provider_payment_reference: registration.providerPaymentReference,
      amount_minor: registration.amountMinor,
      currency: registration.currency,
      method: registration.method,
      paid_at: new Date(registration.paidAtMs),
      reference: registration.reference,
      metadata: JSON.stringify(registration.metadata),
      settled_at: null,
      created_by: registration.actor,
      created_at: new Date(nowMs),
    })
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .executeTakeFirst();
  return row ? paymentFromRow(row) : null;
}

async function registeredBefore(trx: LedgerTransaction, registration: PaymentRegistration): Promise<Payment> {
  const row = await trx
    .selectFrom('payments')
    .selectAll()
    .where('provider', '=', registration.provider)
    .where('provider_payment_id', '=', registration.providerPaymentId)
    .executeTakeFirstOrThrow();
  return paymentFromRow(row);
}

async function recordRegistration(
  trx: LedgerTransaction,
  registration: PaymentRegistration,
  nowMs: number,
): Promise<void> {
  await appendPaymentEvent(trx, {
    paymentId: registration.id,
    type: 'payment_registered',
    origin: 'service',
    actor: registration.actor,
    reason: null,
    requestId: registration.requestId,
    occurredAtMs: nowMs,
    data: {
      provider: registration.provider,
      provider_payment_id: registration.providerPaymentId,
      provider_payment_reference: registration.providerPaymentReference,
      amount_minor: registration.amountMinor,
      currency: registration.currency,
      method: registration.method,
      paid_at: new Date(registration.paidAtMs).toISOString(),
    },
  });
}

function differingFacts(asked: PaymentRegistration, stored: Payment): RegisteredFact[] {
  const same: Record<RegisteredFact, boolean> = {
    amount: asked.amountMinor === stored.amountMinor,
    currency: asked.currency === stored.currency,
    paid_at: asked.paidAtMs === stored.paidAtMs,
    method: asked.method === stored.method,
    provider_payment_reference: asked.providerPaymentReference === stored.providerPaymentReference,
    reference: asked.reference === stored.reference,
    metadata: sameEntries(asked.metadata, stored.metadata),
  };
  return (Object.keys(same) as RegisteredFact[]).filter((fact) => !same[fact]);
}

function sameEntries(
  one: Readonly<Record<string, string>>,
  other: Readonly<Record<string, string>>,
): boolean {
  const keys = Object.keys(one);
  return (
    keys.length === Object.keys(other).length &&
    keys.every((key) => Object.hasOwn(other, key) && one[key] === other[key])
  );
}
