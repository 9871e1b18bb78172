/** One trail, event by event: whether it is as it was written. */
import type { Selectable } from 'kysely';
import { keyIdOf, type AuditMacs } from '../audit-macs.js';
import type { Schema } from '../database.js';
import {
  EMPTY_TRAIL,
  eventHash,
  macContentOf,
  sealContentOf,
  type EventContent,
  type SealedEnd,
  type TrailEnd,
  type TrailName,
} from '../event-chain.js';

export type StoredEvent = Selectable<Schema['refund_events']>;

/** The first thing wrong with a trail. */
export interface Break {
  readonly trail: TrailName;
  /** Of the event; null: it is about the row that the trail belongs to. */
  readonly sequence: number | null;
  readonly what: string;
}

export interface Coverage {
  events: number;
  /** Their own MAC was checked, and fits. */
  covered: number;
  /** Written without AUDIT_KEYS. */
  withoutMac: number;
  /** They have a MAC, and no keys are given to check any. */
  unchecked: number;
  /** How many by each key that is not among those given. */
  unknownKeys: Map<string, number>;
}

export interface Against {
  /** Null: hashes alone are checked. */
  readonly macs: AuditMacs | null;
  /** The id of the first event by one of the keys: what comes after it has a MAC. Null: there is none. */
  readonly macsSinceId: number | null;
}

export interface TrailWalk {
  readonly trail: TrailName;
  /** In order of sequence. */
  see(event: StoredEvent): void;
  isBroken(): boolean;
  /** Null: the row is gone. */
  end(row: SealedEnd | null): Break | null;
  readonly coverage: Coverage;
}

export function noCoverage(): Coverage {
  return { events: 0, covered: 0, withoutMac: 0, unchecked: 0, unknownKeys: new Map() };
}

export function walkTrail(trail: TrailName, against: Against): TrailWalk {
  const coverage = noCoverage();
  let last: TrailEnd = EMPTY_TRAIL;
  let found: Break | null = null;
  return {
    trail,
    coverage,
    see: (event) => {
      coverage.events += 1;
      if (found) return;
      const what = inWords(() => linkBreak(event, last) ?? macBreak(event, last, against, coverage));
      // A gap is told by the number that is missing.
      if (what !== null) found = { trail, sequence: last.event_sequence + 1, what };
      last = { event_sequence: event.sequence, event_hash: event.hash, event_mac: event.mac };
    },
    isBroken: () => found !== null,
    end: (row) => {
      if (found) return found;
      if (!row) return { trail, sequence: null, what: `the ${trail.kind} itself is gone, its trail is not` };
      return endBreak(trail, last, row) ?? sealBreak(trail, row, against);
    },
  };
}

export function contentOf(event: StoredEvent): EventContent {
  const { payment_id, refund_id, sequence, type, origin, actor, reason, request_id, occurred_at, data } =
    event;
  return {
    payment_id,
    refund_id,
    sequence,
    type,
    origin,
    actor,
    reason,
    request_id,
    occurred_at: occurred_at.toISOString(),
    data,
  };
}

/** What can't be a row of ours can't be read either, and must not keep anybody from reading on. */
export function inWords(look: () => string | null): string | null {
  try {
    return look();
  } catch {
    return 'it holds what the service never writes';
  }
}

function linkBreak(event: StoredEvent, last: TrailEnd): string | null {
  const expected = last.event_sequence + 1;
  if (event.sequence !== expected) return `the event is missing: ${event.sequence} comes next`;
  if (event.previous_hash !== last.event_hash) return 'it does not follow the event before it';
  if (event.hash !== eventHash(contentOf(event), last.event_hash)) {
    return 'its content is not what was written: the hash does not fit';
  }
  return null;
}

/** Counts the event where it is not broken. */
function macBreak(
  event: StoredEvent,
  last: TrailEnd,
  { macs, macsSinceId }: Against,
  coverage: Coverage,
): string | null {
  const isLate = macsSinceId !== null && event.id > macsSinceId;
  if (event.mac === null) {
    if (isLate) return 'it has no MAC, though MACs were written before it';
    coverage.withoutMac += 1;
    return null;
  }
  if (macs === null) {
    coverage.unchecked += 1;
    return null;
  }
  switch (macs.check(macContentOf(contentOf(event), last), event.mac)) {
    case 'right':
      coverage.covered += 1;
      return null;
    case 'wrong':
      return 'its MAC does not fit: whoever wrote it so had no key';
    case 'unknown_key': {
      const keyId = keyIdOf(event.mac) ?? 'none';
      if (isLate) {
        return `its MAC names the key ${keyId}, which is not in AUDIT_KEYS, though later than one that is`;
      }
      coverage.unknownKeys.set(keyId, (coverage.unknownKeys.get(keyId) ?? 0) + 1);
      return null;
    }
  }
}

function endBreak(trail: TrailName, last: TrailEnd, row: SealedEnd): Break | null {
  if (row.event_sequence > last.event_sequence) {
    const what = `the trail is cut: the ${trail.kind} says that it goes to event ${row.event_sequence}`;
    return { trail, sequence: last.event_sequence + 1, what };
  }
  if (row.event_sequence < last.event_sequence) {
    const what = `the ${trail.kind} says that its trail ends at event ${row.event_sequence}`;
    return { trail, sequence: row.event_sequence + 1, what };
  }
  if (row.event_sequence === 0) return { trail, sequence: 1, what: 'there is no trail' };
  if (row.event_hash !== last.event_hash || row.event_mac !== last.event_mac) {
    const what = `the ${trail.kind} names another event as the end of its trail`;
    return { trail, sequence: last.event_sequence, what };
  }
  return null;
}

/** A seal that names no known key is as little covered as the event that it goes with. */
function sealBreak(trail: TrailName, row: SealedEnd, { macs }: Against): Break | null {
  if (!macs || row.event_mac === null || !macs.keyIds.includes(keyIdOf(row.event_mac) ?? '')) return null;
  const check = row.event_seal === null ? 'wrong' : macs.check(sealContentOf(trail, row), row.event_seal);
  if (check === 'right') return null;
  const what = `the MAC over the end of the trail does not fit: events after ${row.event_sequence} may be gone`;
  return { trail, sequence: row.event_sequence, what };
}
