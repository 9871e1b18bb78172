import { z } from 'zod';
import type { PaymentRead, PaymentSnapshot } from '../../domain/provider.js';
import { readRefusal, unreadable } from '../answers.js';
import type { HttpAnswer } from '../http.js';
import { parseInstant } from '../instants.js';
import { integerCode, majorWithPoint, readJson } from '../json.js';
import type { FourGeeksClient, Page } from './client.js';
import {
  canonicalChargeId,
  canonicalRefundId,
  CHARGE_STATUS,
  errorBody,
  RefundRow,
  refundStatus,
} from './mapping.js';

const PAGES_MAX = 20;

type Row = z.output<typeof RefundRow>;

/** A charge as 4Geeks shows it: its refunds from the list, its own facts where that read answers. */
export async function readCharge(
  client: FourGeeksClient,
  chargeId: string,
  signal: AbortSignal,
  nowMs: () => number,
): Promise<PaymentRead> {
  // The charge first: what it is reduced by is then in the list, which may hold more, never less.
  const facts = chargeFacts(await client.getPayment(chargeId, signal), nowMs());
  if (facts.kind !== 'facts') return facts;
  const list = await listRefunds(client, chargeId, signal, nowMs);
  if (list.kind !== 'rows') return list;
  return { kind: 'found', snapshot: snapshotOf(facts.facts, list.rows, list.complete) };
}

type Rows = { readonly kind: 'rows'; readonly rows: readonly Row[]; readonly complete: boolean };

/** Follows pages to their end; a list that may be cut says so. */
async function listRefunds(
  client: FourGeeksClient,
  chargeId: string,
  signal: AbortSignal,
  nowMs: () => number,
): Promise<Rows | PaymentRead> {
  const rows: Row[] = [];
  let page: Page | null = null;
  for (let read = 0; read < PAGES_MAX; read += 1) {
    const answer: HttpAnswer = await client.listRefunds(chargeId, page, signal);
    const result = refundsPage(answer, chargeId, nowMs());
    if (result.kind !== 'page') return result;
    const known = new Set(rows.map((row) => row.id));
    if (result.rows.some((row) => row.id && known.has(row.id))) {
      return { kind: 'rows', rows, complete: false };
    }
    rows.push(...result.rows);
    if (result.next === null) return { kind: 'rows', rows, complete: !result.cut };
    page = result.next;
  }
  return { kind: 'rows', rows, complete: false };
}

const AnyRow = z.looseObject({ charge_id: z.string() });

const Envelope = z.object({
  items: z.array(AnyRow),
  total_items: integerCode,
  limit: integerCode.nullish().catch(null),
  offset: integerCode.nullish().catch(null),
});

const RefundList = z.union([z.array(AnyRow), Envelope]);

type RefundsPage = {
  readonly kind: 'page';
  /** This charge's alone: the filter is the provider's, the proof is ours. */
  readonly rows: readonly Row[];
  readonly next: Page | null;
  /** There is more, and no way to it. */
  readonly cut: boolean;
};

/** GET /v1/refunds/?charge_id=: a bare array as documented, or the envelope that another page of theirs shows. */
export function refundsPage(answer: HttpAnswer, chargeId: string, nowMs: number): RefundsPage | PaymentRead {
  const refusal = readRefusal(answer, nowMs);
  if (refusal) return refusal;
  const error = answer.status === 200 ? null : errorBody(answer.body);
  if (error && (answer.status === 404 || /doesn['’]t exist/i.test(error.content))) {
    return { kind: 'notFound', detail: '4Geeks knows no such charge' };
  }
  if (answer.status !== 200) return unreadable(`the provider answered HTTP ${answer.status}`);
  const list = readJson(RefundList, answer.body);
  if (!list.ok) return unreadable(list.detail);

  const items = Array.isArray(list.value) ? list.value : list.value.items;
  const rows = z
    .array(RefundRow)
    .safeParse(items.filter((item) => canonicalChargeId(item.charge_id) === chargeId));
  if (!rows.success) {
    return unreadable(`the refunds' member ${rows.error.issues[0]?.path.join('.')} is not as documented`);
  }
  if (Array.isArray(list.value)) return { kind: 'page', rows: rows.data, next: null, cut: false };

  const { total_items, limit, offset } = list.value;
  const seen = (offset ?? 0) + items.length;
  const more = seen < total_items;
  const next = more && items.length > 0 ? { limit: limit || items.length, offset: seen } : null;
  return { kind: 'page', rows: rows.data, next, cut: more && next === null };
}

interface ChargeFacts {
  readonly status: string | null;
  readonly amountMinor: number | null;
  readonly currency: string | null;
  readonly createdAtMs: number | null;
}

const UNREAD: ChargeFacts = { status: null, amountMinor: null, currency: null, createdAtMs: null };

const Charge = z.object({
  status: z.string().nullish().catch(null),
  // Without a point it may be cents: then it counts as not read.
  amount: majorWithPoint.nullish().catch(null),
  currency: z.string().nullish().catch(null),
  created_at: z.string().nullish().catch(null),
});

/** GET /v1/payments/{id}: not in the document of refunds, so that it may be closed to us. */
export function chargeFacts(
  answer: HttpAnswer,
  nowMs: number,
): { readonly kind: 'facts'; readonly facts: ChargeFacts } | PaymentRead {
  if ([403, 404, 405].includes(answer.status)) return { kind: 'facts', facts: UNREAD };
  const refusal = readRefusal(answer, nowMs);
  if (refusal) return refusal;
  if (answer.status !== 200) return unreadable(`the provider answered HTTP ${answer.status}`);
  const charge = readJson(Charge, answer.body);
  if (!charge.ok) return unreadable(charge.detail);
  const { status, amount, currency, created_at } = charge.value;
  return {
    kind: 'facts',
    facts: {
      status: status ?? null,
      amountMinor: amount ?? null,
      currency: currency?.toUpperCase() ?? null,
      createdAtMs: parseInstant(created_at),
    },
  };
}

function snapshotOf(facts: ChargeFacts, rows: readonly Row[], complete: boolean): PaymentSnapshot {
  return {
    status: facts.status === null ? 'refundable' : (CHARGE_STATUS.get(facts.status) ?? 'unknown'),
    providerStatus: facts.status ?? 'unread',
    providerPaymentReference: null,
    amountMinor: facts.amountMinor,
    amountMayBeReduced: true,
    currency: facts.currency ?? rows[0]?.currency?.toUpperCase() ?? null,
    method: null,
    paidAtMs: facts.createdAtMs,
    refunds: rows.map(({ id, amount, status }) => ({
      providerRefundId: canonicalRefundId(id),
      amountMinor: amount,
      status: refundStatus(status),
      providerStatus: status,
    })),
    complete,
  };
}
