/** Where all trails end, written down elsewhere: by it, whole refunds that are gone are missed. */
import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { auditMacsOf, keyIdOf, type AuditMacs } from '../audit-macs.js';
import type { Database, LedgerTransaction } from '../database.js';
import type { TrailName } from '../event-chain.js';
import type { Break } from './trail.js';
import { atOneInstant, type Verification } from './verify.js';

/** One trail's end; a line of the file. */
type Head = readonly [
  kind: TrailName['kind'],
  id: string,
  sequence: number,
  hash: string,
  mac: string | null,
];

/** The last line of the file. */
interface Closing {
  readonly format: typeof FORMAT;
  readonly written_at: string;
  readonly trails: number;
  /** Of those, so many end with an event that has no MAC. */
  readonly without_mac: number;
  /** sha-256 of all lines before. */
  readonly digest: string;
  /** Over the members above; null: written without AUDIT_KEYS. */
  readonly mac: string | null;
}

/** How far the file itself can be believed. */
export type HeadTrust =
  | { readonly kind: 'signed' | 'unsigned' | 'unchecked'; readonly closing: Closing }
  | { readonly kind: 'unknown_key'; readonly keyId: string; readonly closing: Closing }
  | { readonly kind: 'damaged'; readonly why: string };

/** Each time from the beginning. */
export type HeadLines = () => AsyncIterable<string>;

const FORMAT = 'estorno-audit-head-1';
const ROWS_A_PAGE = 1_000;

/** Calls `write` with the lines of the file, in order. */
export async function exportHead(
  db: Database,
  write: (line: string) => Promise<void>,
  nowMs: number,
): Promise<void> {
  const macs = auditMacsOf(db);
  const digest = createHash('sha256');
  let trails = 0;
  let withoutMac = 0;
  await atOneInstant(db, async (trx) => {
    for await (const head of headsOf(trx)) {
      const line = JSON.stringify(head);
      digest.update(`${line}\n`);
      trails += 1;
      if (head[4] === null) withoutMac += 1;
      await write(line);
    }
  });
  const closing = {
    format: FORMAT,
    written_at: new Date(nowMs).toISOString(),
    trails,
    without_mac: withoutMac,
    digest: digest.digest('hex'),
  } as const;
  const mac = macs?.make({ trail_heads: closing }) ?? null;
  await write(JSON.stringify({ ...closing, mac } satisfies Closing));
}

/** Whether the file is whole, and who wrote it. Reads it once. */
export async function judgeHead(lines: HeadLines, macs: AuditMacs | null): Promise<HeadTrust> {
  const digest = createHash('sha256');
  let last: string | null = null;
  let count = 0;
  for await (const line of lines()) {
    if (last !== null) {
      if (!isHead(parsed(last))) {
        return { kind: 'damaged', why: `its line ${count + 1} names no trail's end` };
      }
      digest.update(`${last}\n`);
      count += 1;
    }
    last = line;
  }
  const closing = parsed(last ?? '');
  if (!isClosing(closing)) {
    return { kind: 'damaged', why: 'its last line is not the end of an exported head' };
  }
  if (closing.trails !== count || closing.digest !== digest.digest('hex')) {
    return { kind: 'damaged', why: 'its lines are not those that were exported' };
  }
  const { mac, ...signed } = closing;
  if (mac === null) return { kind: 'unsigned', closing };
  if (macs === null) return { kind: 'unchecked', closing };
  switch (macs.check({ trail_heads: signed }, mac)) {
    case 'right':
      return { kind: 'signed', closing };
    case 'wrong':
      return { kind: 'damaged', why: 'its MAC does not fit' };
    case 'unknown_key':
      return { kind: 'unknown_key', keyId: keyIdOf(mac) ?? 'none', closing };
  }
}

/** What has gone since the head was written: trails only grow. The caller has judged the file. */
export async function compareWithHead(
  trx: LedgerTransaction,
  lines: HeadLines,
  { closing, seen }: { readonly closing: Closing; readonly seen: Verification },
): Promise<Break[]> {
  const breaks: Break[] = [];
  let page: Head[] = [];
  for await (const line of lines()) {
    if (!line.startsWith('[')) continue;
    page.push(JSON.parse(line) as Head);
    if (page.length < ROWS_A_PAGE) continue;
    breaks.push(...(await goneOf(trx, page)));
    page = [];
  }
  breaks.push(...(await goneOf(trx, page)));
  // Trails that were written with keys get no fewer MACs; more trails without any were put in, or stripped. Where none
  // had any, keys are what the head alone was written with.
  const hadMacs = closing.without_mac < closing.trails;
  if (closing.mac !== null && hadMacs && seen.trailsWithoutMac > closing.without_mac) {
    const what = `${seen.trailsWithoutMac} trails end without a MAC, ${closing.without_mac} did at ${closing.written_at}`;
    breaks.push({ trail: { kind: 'refund', id: '(any)' }, sequence: null, what });
  }
  return breaks;
}

async function* headsOf(trx: LedgerTransaction): AsyncGenerator<Head> {
  for (const kind of ['refund', 'payment'] as const) {
    for (let after = ''; ;) {
      const rows = await trx
        .selectFrom(kind === 'refund' ? 'refunds' : 'payments')
        .select(['id', 'event_sequence', 'event_hash', 'event_mac'])
        .where('id', '>', after)
        .orderBy('id')
        .limit(ROWS_A_PAGE)
        .execute();
      for (const row of rows) yield [kind, row.id, row.event_sequence, row.event_hash, row.event_mac];
      const last = rows.at(-1);
      if (!last || rows.length < ROWS_A_PAGE) break;
      after = last.id;
    }
  }
}

async function goneOf(trx: LedgerTransaction, heads: readonly Head[]): Promise<Break[]> {
  const breaks: Break[] = [];
  for (const kind of ['refund', 'payment'] as const) {
    const own = heads.filter((head) => head[0] === kind);
    if (own.length === 0) continue;
    const now = await endsAt(trx, kind, own);
    for (const head of own) {
      const what = goneSince(kind, head, now.get(head[1]) ?? null);
      if (what !== null) breaks.push({ trail: { kind, id: head[1] }, sequence: head[2], what });
    }
  }
  return breaks;
}

interface EndNow {
  readonly id: string;
  /** Of the event at the head's sequence; null: there is none. */
  readonly hash: string | null;
  readonly mac: string | null;
}

async function endsAt(
  trx: LedgerTransaction,
  kind: TrailName['kind'],
  heads: readonly Head[],
): Promise<Map<string, EndNow>> {
  const owner = sql.table(kind === 'refund' ? 'refunds' : 'payments');
  const ownEvent =
    kind === 'refund'
      ? sql`event.refund_id = head.id`
      : sql`event.payment_id = head.id AND event.refund_id IS NULL`;
  const found = await sql<EndNow>`
    SELECT owner.id, event.hash, event.mac
    FROM unnest(${heads.map((head) => head[1])}::text[], ${heads.map((head) => head[2])}::integer[]) AS head (id, sequence)
    JOIN ${owner} AS owner ON owner.id = head.id
    LEFT JOIN refund_events AS event ON ${ownEvent} AND event.sequence = head.sequence
  `.execute(trx);
  return new Map(found.rows.map((row) => [row.id, row]));
}

function goneSince(kind: TrailName['kind'], head: Head, now: EndNow | null): string | null {
  const [, , sequence, hash, mac] = head;
  if (!now) return `the whole ${kind} is gone: the head knows its trail up to event ${sequence}`;
  if (sequence === 0) return null;
  if (now.hash === null) return `the trail is cut: the head knows it up to event ${sequence}`;
  if (now.hash !== hash || now.mac !== mac) return 'the event is another one than the head knows';
  return null;
}

function isClosing(value: unknown): value is Closing {
  if (typeof value !== 'object' || value === null) return false;
  const { format, written_at, trails, without_mac, digest, mac } = value as Record<keyof Closing, unknown>;
  return (
    format === FORMAT &&
    [written_at, digest].every((text) => typeof text === 'string') &&
    [trails, without_mac].every((count) => Number.isSafeInteger(count)) &&
    (mac === null || typeof mac === 'string')
  );
}

function isHead(value: unknown): value is Head {
  if (!Array.isArray(value) || value.length !== 5) return false;
  const [kind, id, sequence, hash, mac] = value as unknown[];
  return (
    (kind === 'refund' || kind === 'payment') &&
    [id, hash].every((text) => typeof text === 'string') &&
    Number.isInteger(sequence) &&
    Number(sequence) >= 0 &&
    Number(sequence) < 2 ** 31 &&
    (mac === null || typeof mac === 'string')
  );
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return null;
  }
}
