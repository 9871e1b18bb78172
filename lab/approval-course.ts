/** How people decided about each refund, retold from the trail alone. */
import type { VoteStory } from './stories.js';
import type { StoredEvent } from './trail.js';

/** One refund's way, as its events tell it. */
export interface Course {
  readonly refundId: string;
  readonly requester: string;
  readonly amountMinor: number;
  /** What its payment had refunded and reserved when it was asked for. */
  readonly heldMinor: number;
  readonly rounds: Round[];
  /** Calls to the provider, and how many approvals of the round were missing at each. */
  readonly claims: { readonly atMs: number; readonly missing: number }[];
  readonly refusals: Refusal[];
  /** What people were told by the clock: which of it, and in which round. */
  readonly reminders: string[];
  readonly extendedToMs: number[];
  status: string;
  /** The status, or why it waits. */
  state: string;
  /** Its state when somebody canceled it. */
  canceledWhile: string | null;
  /** When it ended first. */
  endedAtMs: number | null;
  /** Money was seen after its end, or may have moved: a person decides then. */
  hasLateMoney: boolean;
}

export interface Round {
  readonly required: number;
  readonly contentHash: string;
  readonly openedBy: string;
  readonly openedAtMs: number;
  endsAtMs: number;
  /** `isLate`: it was counted after the round had ended. */
  readonly votes: (VoteStory & { readonly isLate: boolean })[];
  /** Null: it is waited for still. */
  closed: { readonly as: string; readonly atMs: number } | null;
}

export type Refusal = Pick<VoteStory, 'actor'> & {
  readonly action: string;
  readonly code: string;
  readonly contentHash: string | null;
};

/** By refund. `events` in the order in which they were written. */
export function coursesOf(events: readonly StoredEvent[]): ReadonlyMap<string, Course> {
  const courses = new Map<string, Course>();
  const held = new Map<string, Set<Course>>();
  for (const event of events) {
    if (event.refund_id === null) continue;
    const data = event.data as EventData;
    const holders = held.get(event.payment_id) ?? new Set();
    held.set(event.payment_id, holders);
    if (event.type === 'refund_created') {
      const heldMinor = [...holders].reduce((sum, { amountMinor }) => sum + amountMinor, 0);
      courses.set(event.refund_id, createdBy(event.refund_id, event, heldMinor));
    }
    const course = courses.get(event.refund_id);
    if (!course) continue;
    note(course, event);
    // What the provider booked instead counts as moved without us.
    if (RELEASED.includes(data.status ?? '') || event.type === 'other_amount_seen') holders.delete(course);
    else if (data.status !== undefined && (data.status !== 'review' || data.counted === 'reserved')) {
      holders.add(course);
    }
  }
  return courses;
}

/** Approvals that the round has not been given; each person counts once. */
export function missingIn({ required, votes }: Pick<Round, 'required' | 'votes'>): number {
  const approvals = votes.filter(({ decision }) => decision === 'approve');
  return required - new Set(approvals.map(({ actor }) => actor)).size;
}

const RELEASED = ['failed', 'rejected', 'expired', 'canceled', 'reversed'];

/** What the lab reads of an event's data; each is there where its type has it. */
interface EventData {
  readonly status?: string;
  readonly pending_reason?: string | null;
  readonly amount_minor?: number;
  readonly content_hash?: string;
  readonly approval?: { readonly required: number; readonly expires_at: string } | null;
  readonly decision?: VoteStory['decision'];
  readonly expires_at?: string;
  readonly action?: string;
  readonly code?: string;
  readonly counted?: string;
  readonly round?: number;
  readonly number?: number;
}

function createdBy(refundId: string, event: StoredEvent, heldMinor: number): Course {
  const { amount_minor: amountMinor = 0 } = event.data as EventData;
  return {
    ...{ refundId, requester: event.actor, amountMinor, heldMinor },
    ...{ rounds: [], claims: [], refusals: [], reminders: [], extendedToMs: [] },
    ...{ status: '', state: '', canceledWhile: null, endedAtMs: null, hasLateMoney: false },
  };
}

function note(course: Course, event: StoredEvent): void {
  const data = event.data as EventData;
  const atMs = event.occurred_at.getTime();
  const round = course.rounds.at(-1);
  switch (event.type) {
    case 'refund_created':
    case 'review_resolved':
      if (data.approval) course.rounds.push(openedBy(event, data.approval));
      break;
    case 'vote_cast': {
      const { decision = 'approve', content_hash: contentHash = '' } = data;
      const isLate = round?.closed !== null || atMs >= round.endsAtMs;
      round?.votes.push({ refundId: course.refundId, actor: event.actor, decision, contentHash, isLate });
      break;
    }
    case 'vote_refused': {
      const { action = '', code = '', content_hash: contentHash = null } = data;
      course.refusals.push({ actor: event.actor, action, code, contentHash });
      break;
    }
    case 'approval_extended': {
      const endsAtMs = Date.parse(data.expires_at ?? '');
      course.extendedToMs.push(endsAtMs);
      if (round) round.endsAtMs = endsAtMs;
      break;
    }
    case 'approval_reminder':
    case 'approval_escalated':
      course.reminders.push(`${event.type} ${data.number ?? ''} of round ${data.round}`);
      break;
    case 'attempt_claimed':
      course.claims.push({ atMs, missing: round ? missingIn(round) : 0 });
      break;
    case 'refund_canceled':
      course.canceledWhile = course.state;
      break;
    case 'late_money_seen':
    case 'late_money_possible':
      course.hasLateMoney = true;
      break;
    default:
  }
  if (data.status !== undefined) become(course, data.status, data.pending_reason ?? data.status, atMs);
}

function become(course: Course, status: string, state: string, atMs: number): void {
  course.status = status;
  course.state = state;
  if (status === 'succeeded' || RELEASED.includes(status)) course.endedAtMs ??= atMs;
  const round = course.rounds.at(-1);
  if (round && !round.closed && status !== 'requires_approval') round.closed = { as: status, atMs };
}

function openedBy(event: StoredEvent, approval: NonNullable<EventData['approval']>): Round {
  return {
    required: approval.required,
    contentHash: (event.data as EventData).content_hash ?? '',
    openedBy: event.actor,
    openedAtMs: event.occurred_at.getTime(),
    endsAtMs: Date.parse(approval.expires_at),
    votes: [],
    closed: null,
  };
}
