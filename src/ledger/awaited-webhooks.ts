import type { Database } from './database.js';
import { takeDeliveries, type PaymentAtProvider } from './inbox.js';

/** For whoever waits a moment for a provider's word beside the call that it confirms. */
export interface AwaitedWebhooks {
  /** True once a delivery names the payment, and is marked as followed; false where none does within `withinMs`. */
  named(payment: PaymentAtProvider, withinMs: number): Promise<boolean>;
  /** From now on deliveries wake the refund's own process. @returns whether one came before, and woke nobody. */
  endWatch(attempt: { refund_id: string; number: number }, payment: PaymentAtProvider): Promise<boolean>;
}

/** One statement asks for all that wait in this process; it is sent as long as anybody waits. */
const ASK_EVERY_MS = 20;
/** What is being asked may have found the word, and marked it as followed: its answer is waited for so much longer. */
const ANSWERS_WITHIN_MS = 1_000;

interface Waiting {
  readonly payment: PaymentAtProvider;
  /** By the clock of `performance.now()`. */
  readonly untilMs: number;
  readonly end: (isNamed: boolean) => void;
}

export function createAwaitedWebhooks(db: Database, nowMs: () => number): AwaitedWebhooks {
  const waiting = new Set<Waiting>();
  let isAsking = false;

  const ask = async (): Promise<void> => {
    try {
      const payments = [...waiting].map(({ payment }) => payment);
      const named = new Set((await takeDeliveries(db, payments, nowMs())).map(keyOf));
      for (const each of waiting) if (named.has(keyOf(each.payment))) each.end(true);
    } catch {
      // The ledger is away: whoever waits is told of nothing, and the refund's own looks come later.
    }
    for (const each of waiting) if (performance.now() >= each.untilMs) each.end(false);
    isAsking = waiting.size > 0;
    if (isAsking) setTimeout(() => void ask(), ASK_EVERY_MS);
  };

  return {
    named: (payment, withinMs) =>
      new Promise((resolve) => {
        const end = (isNamed: boolean): void => {
          waiting.delete(each);
          clearTimeout(timer);
          resolve(isNamed);
        };
        const each = { payment, untilMs: performance.now() + withinMs, end };
        const timer = setTimeout(() => end(false), withinMs + ANSWERS_WITHIN_MS);
        waiting.add(each);
        if (isAsking) return;
        isAsking = true;
        void ask();
      }),
    endWatch: async ({ refund_id, number }, payment) => {
      await db
        .updateTable('provider_attempts')
        .set({ watched_until: null })
        .where('refund_id', '=', refund_id)
        .where('number', '=', number)
        .execute();
      return (await takeDeliveries(db, [payment], nowMs())).length > 0;
    },
  };
}

function keyOf({ provider, providerPaymentId }: PaymentAtProvider): string {
  return `${provider}/${providerPaymentId}`;
}
