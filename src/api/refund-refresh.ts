import { setTimeout as sleep } from 'node:timers/promises';
import { isOpen } from '../domain/refund.js';
import { findRefund, type RefundRow } from '../ledger/refund-reads.js';
import type { ApiDeps } from './deps.js';

const ONCE_IN_MS = 5_000;
const WAIT_FOR_NEWS_MS = 3_000;
const LOOK_EVERY_MS = 100;
const REMEMBERED_MAX = 10_000;

/**
 * Asks the provider about a refund, at most once in 5 s, and waits a little for the news. Asking is remembered here
 * too, because a provider that is down leaves no look in the ledger. For one that has ended its payment is compared.
 */
export function createRefresher(
  deps: Pick<ApiDeps, 'db' | 'engine' | 'nowMs' | 'log'>,
): (refund: RefundRow) => Promise<RefundRow> {
  const askedAtMs = new Map<string, number>();
  return async (refund) => {
    const nowMs = deps.nowMs();
    const lastMs = Math.max(refund.last_looked_at?.getTime() ?? 0, askedAtMs.get(refund.id) ?? 0);
    if (nowMs - lastMs < ONCE_IN_MS) return refund;
    if (askedAtMs.size >= REMEMBERED_MAX) askedAtMs.clear();
    askedAtMs.set(refund.id, nowMs);
    try {
      await (isOpen(refund.status)
        ? deps.engine.hint(refund.id, 'refresh')
        : deps.engine.reconcilePayment({ paymentId: refund.payment_id, provider: refund.provider }));
    } catch (error) {
      deps.log.warn({ err: error, refundId: refund.id }, 'a refresh could not be passed on');
      return refund;
    }
    return newsOf(deps, refund);
  };
}

async function newsOf(deps: Pick<ApiDeps, 'db'>, before: RefundRow): Promise<RefundRow> {
  const until = performance.now() + WAIT_FOR_NEWS_MS;
  for (;;) {
    const now = (await findRefund(deps.db, before.id)) ?? before;
    const looked = now.last_looked_at?.getTime() !== before.last_looked_at?.getTime();
    if (looked || now.version !== before.version || performance.now() >= until) return now;
    await sleep(LOOK_EVERY_MS);
  }
}
