import { Gauge, Registry } from 'prom-client';
import { PENDING_REASONS, REFUND_STATUSES } from '../domain/refund.js';
import type { Database } from '../ledger/database.js';
import {
  ATTEMPT_ANSWERS,
  readFigures,
  type LedgerFigures,
  type OpenFigures,
  type OutboundFigures,
} from '../ledger/figures.js';

const FRESH_FOR_MS = 3_000;
/** While a reading takes long, which a count of many millions may, the one before it stands in. */
const STANDS_IN_FOR_MS = 30_000;
/** The whole scrape answers within two seconds. */
const ANSWER_WITHIN_MS = 1_500;

export interface LedgerMetrics {
  /** The ledger's figures as text; `estorno_ledger_up 0` alone where it does not answer. */
  readonly expose: () => Promise<string>;
}

/** The same in every process, since all of them ask the one ledger: a dashboard takes the `max` of them, never a sum. */
export function createLedgerMetrics(deps: {
  readonly db: Database;
  readonly providers: readonly string[];
  readonly nowMs: () => number;
}): LedgerMetrics {
  const { db, providers, nowMs } = deps;
  let known: { readonly text: string; readonly atMs: number } | null = null;
  let underWay: Promise<string> | null = null;

  const knownWithin = (ms: number): string | null => (known && nowMs() < known.atMs + ms ? known.text : null);
  const down = (): Promise<string> => render(null, providers, nowMs());
  const read = async (): Promise<string> => {
    const text = await render(await readFigures(db, nowMs()), providers, nowMs());
    known = { text, atMs: nowMs() };
    return text;
  };
  // One at a time: a database that hangs must not be asked again by every scrape.
  const readOnce = (): Promise<string> => {
    underWay ??= read().finally(() => {
      underWay = null;
    });
    return underWay;
  };
  return {
    expose: async () =>
      knownWithin(FRESH_FOR_MS) ??
      (await withinTime(readOnce().catch(down))) ??
      knownWithin(STANDS_IN_FOR_MS) ??
      down(),
  };
}

async function withinTime(asked: Promise<string>): Promise<string | null> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ANSWER_WITHIN_MS);
  });
  try {
    return await Promise.race([asked, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [labels: Labels, value: number];

async function render(
  figures: LedgerFigures | null,
  providers: readonly string[],
  nowMs: number,
): Promise<string> {
  const registry = new Registry();
  const up = { name: 'estorno_ledger_up', help: 'PostgreSQL answered this scrape.', registers: [registry] };
  new Gauge(up).set(figures ? 1 : 0);
  if (figures) {
    const all = [...families(figures, providers, nowMs), ...outboundFamilies(figures.outbound, nowMs)];
    for (const { name, help, zeros, samples } of all) {
      const gauge = new Gauge({ name, help, labelNames: Object.keys(zeros[0] ?? {}), registers: [registry] });
      for (const labels of zeros) gauge.set(labels, 0);
      for (const [labels, value] of samples) gauge.inc(labels, value);
    }
  }
  return registry.metrics();
}

interface Family {
  readonly name: string;
  readonly help: string;
  /** Every provider and every word of a closed list is there, with 0 where nothing is: alerts can rely on it. */
  readonly zeros: readonly Labels[];
  /** Those of the same labels are added up. */
  readonly samples: readonly Sample[];
}

function families(figures: LedgerFigures, providers: readonly string[], nowMs: number): readonly Family[] {
  const { refunds, open, openAttempts, openBreakers, pausedProviders, unmatchedWebhooks } = figures;
  const each = (label: string, words: readonly string[]): Labels[] =>
    providers.flatMap((provider) => words.map((word) => ({ provider, [label]: word })));
  const alone = providers.map((provider) => ({ provider }));
  const pending = open.flatMap(({ provider, pendingReason: reason, ...rest }) =>
    reason ? [{ ...rest, labels: { provider, reason } }] : [],
  );
  return [
    {
      name: 'estorno_refunds',
      help: 'Refunds by status.',
      zeros: each('status', REFUND_STATUSES),
      samples: refunds.map(({ provider, status, count }) => [{ provider, status }, count]),
    },
    {
      name: 'estorno_refunds_waiting',
      help: 'Pending refunds by why they wait.',
      zeros: each('reason', PENDING_REASONS),
      samples: pending.map(({ labels, count }) => [labels, count]),
    },
    {
      name: 'estorno_refunds_waiting_amount_minor',
      help: 'The sum of the pending refunds, in minor units.',
      zeros: each('reason', PENDING_REASONS).map((labels) => ({ ...labels, currency: 'BRL' })),
      samples: pending.map(({ labels, currency, amountMinor }) => [{ ...labels, currency }, amountMinor]),
    },
    {
      name: 'estorno_oldest_wait_seconds',
      help: 'For how long the oldest has been as it is: pending by reason, review as review_<who ends it>, requires_approval.',
      zeros: each('reason', [...PENDING_REASONS, 'review_provider', 'review_person', 'requires_approval']),
      samples: oldestWaits(open, nowMs),
    },
    {
      name: 'estorno_review',
      help: 'Refunds in review, by who ends it.',
      zeros: each('ends_by', ['provider', 'person']),
      samples: open.flatMap(({ provider, reviewEndsBy, count }) =>
        reviewEndsBy ? [[{ provider, ends_by: reviewEndsBy }, count]] : [],
      ),
    },
    {
      name: 'estorno_attempts_open',
      help: 'Calls of which nobody knows yet what became of them, by what was answered.',
      zeros: each('answer', ATTEMPT_ANSWERS),
      samples: openAttempts.map(({ provider, answer, count }) => [{ provider, answer }, count]),
    },
    {
      name: 'estorno_breaker_open',
      help: '1 while calls of this kind are held back, because the provider does not answer them.',
      zeros: each('operation', ['read', 'submit']),
      samples: openBreakers.map(({ provider, operation }) => [{ provider, operation }, 1]),
    },
    {
      name: 'estorno_provider_paused',
      help: '1 while the kill switch holds back all sending.',
      zeros: alone,
      samples: pausedProviders.map((provider) => [{ provider }, 1]),
    },
    {
      name: 'estorno_webhooks_unmatched',
      help: 'Deliveries that named a payment and that no reading has followed yet.',
      zeros: alone,
      samples: unmatchedWebhooks.map(({ provider, count }) => [{ provider }, count]),
    },
    {
      name: 'estorno_deadline_within_day',
      help: 'Refunds of which nothing is sent yet, and that must be sent within a day.',
      zeros: alone,
      samples: open.map(({ provider, deadlineWithinDay }) => [{ provider }, deadlineWithinDay]),
    },
    {
      name: 'estorno_approval_ends_within_day',
      help: 'Refunds that wait for votes, and expire within a day.',
      zeros: alone,
      samples: open.map(({ provider, approvalEndsWithinDay }) => [{ provider }, approvalEndsWithinDay]),
    },
    {
      name: 'estorno_approvals_overdue',
      help: 'Refunds that wait for votes although the time for them has been over for two minutes: their runs do not go on.',
      zeros: alone,
      samples: open.map(({ provider, approvalsOverdue }) => [{ provider }, approvalsOverdue]),
    },
  ];
}

/** Of all endpoints together: which one it is, the API tells. */
function outboundFamilies(outbound: OutboundFigures, nowMs: number): readonly Family[] {
  const { pending, overdue, oldestAt, disabledEndpoints } = outbound;
  const family = (name: string, help: string, value: number): Family => {
    return { name, help, zeros: [{}], samples: [[{}, value]] };
  };
  return [
    family('estorno_outbound_pending', 'Outbound webhooks that are still to be delivered.', pending),
    family(
      'estorno_outbound_overdue',
      'Of these, due for a minute without anybody taking them: workers or Temporal do not go on.',
      overdue,
    ),
    family(
      'estorno_outbound_oldest_seconds',
      'For how long the oldest of them waits: its endpoint does not take it.',
      oldestAt ? (nowMs - oldestAt.getTime()) / 1000 : 0,
    ),
    family('estorno_outbound_endpoints_disabled', 'Endpoints that answered 410.', disabledEndpoints),
  ];
}

function oldestWaits(open: readonly OpenFigures[], nowMs: number): Sample[] {
  const seconds = new Map<string, Sample>();
  for (const { provider, status, pendingReason, reviewEndsBy, oldestAt } of open) {
    const reason = pendingReason ?? (reviewEndsBy ? `review_${reviewEndsBy}` : status);
    const key = `${provider} ${reason}`;
    const longest = Math.max(seconds.get(key)?.[1] ?? 0, (nowMs - oldestAt.getTime()) / 1000);
    seconds.set(key, [{ provider, reason }, longest]);
  }
  return [...seconds.values()];
}
