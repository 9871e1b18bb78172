import { createHash } from 'node:crypto';
import type { Discrepancy } from './stories.js';

/** A stored event, as its columns are called. */
export interface StoredEvent {
  readonly payment_id: string;
  readonly refund_id: string | null;
  readonly sequence: number;
  readonly type: string;
  readonly origin: string;
  readonly actor: string;
  readonly reason: string | null;
  readonly request_id: string | null;
  readonly occurred_at: Date;
  readonly data: unknown;
  readonly previous_hash: string;
  readonly hash: string;
}

/**
 * Whether each trail is whole: every event there, in order, and unaltered. `events` in the order in which they were
 * written; the chain is recomputed here and not by the service's own code.
 */
export function checkTrails(events: readonly StoredEvent[]): Discrepancy[] {
  const trails = new Map<string, StoredEvent[]>();
  for (const event of events) {
    const subject = event.refund_id ?? event.payment_id;
    trails.set(subject, [...(trails.get(subject) ?? []), event]);
  }
  return [...trails].flatMap(([subject, trail]) => {
    let before = '';
    const broken = trail.find((event, at) => {
      const follows = event.sequence === at + 1 && event.previous_hash === before;
      before = hashOf(event);
      return !follows || event.hash !== before;
    });
    return broken ? [{ kind: 'broken_trail' as const, subject, detail: `at event ${broken.sequence}` }] : [];
  });
}

function hashOf({ hash: _, ...event }: StoredEvent): string {
  const text = canonical({ ...event, occurred_at: event.occurred_at.toISOString() });
  return createHash('sha256').update(text).digest('hex');
}

/** RFC 8785, for what JSON columns give back: members in order of their names, all else as JSON.stringify has it. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(',')}}`;
}
