import { refundOf, type Books } from './books.js';

const WAITER_SILENT_MS = 120_000;
const NEVER_MS = Number.MAX_SAFE_INTEGER;

/** Takes the payment's lane, or queues for it: earliest deadline first, then oldest. */
export function takeLane(books: Books, refundId: string, nowMs: number): 'taken' | 'busy' {
  if (books.laneHolder === refundId || refundOf(books, refundId).status !== 'pending') return 'taken';
  books.waiters.set(refundId, nowMs);
  const behind = books.laneHolder ?? nextWaiter(books, nowMs);
  if (behind !== null && behind !== refundId) return 'busy';
  books.waiters.delete(refundId);
  books.laneHolder = refundId;
  return 'taken';
}

/** Answers who should be woken. */
export function releaseLane(books: Books, refundId: string, nowMs: number): string | null {
  books.waiters.delete(refundId);
  if (books.laneHolder !== refundId) return null;
  books.laneHolder = null;
  return nextWaiter(books, nowMs);
}

function nextWaiter(books: Books, nowMs: number): string | null {
  const waiting = books.refunds.filter(
    ({ id }) => (books.waiters.get(id) ?? -Infinity) >= nowMs - WAITER_SILENT_MS,
  );
  const [first] = waiting.sort(
    (one, other) =>
      (one.submitBeforeMs ?? NEVER_MS) - (other.submitBeforeMs ?? NEVER_MS) ||
      one.createdAtMs - other.createdAtMs ||
      (one.id < other.id ? -1 : 1),
  );
  return first?.id ?? null;
}
