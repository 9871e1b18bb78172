import { collectDefaultMetrics, Counter, Registry } from 'prom-client';
import type { Observe, ObserveDeliveries } from '../../activities/deps.js';
import type { LedgerMetrics } from './ledger-metrics.js';

/** What a worker tells about itself, and how it is read. */
export interface WorkerMetrics {
  readonly observe: Observe & ObserveDeliveries;
  readonly expose: () => Promise<string>;
}

const SUBMIT_OUTCOMES: readonly Parameters<Observe['attemptAnswered']>[1][] = [
  'done',
  'accepted',
  'declined',
  'notNow',
  'unknown',
];
const READ_OUTCOMES: readonly Parameters<Observe['providerRead']>[1][] = [
  'found',
  'notFound',
  'unavailable',
  'unreadable',
];
const DELIVERY_OUTCOMES: readonly Parameters<ObserveDeliveries['webhookAttempted']>[0][] = [
  'delivered',
  'refused',
  'silent',
  'given_up',
  'gone',
];
const TEMPORAL_WITHIN_MS = 500;

/** `temporalUrl`: where the engine's library in this process serves its own figures; null: it does not. */
export function createWorkerMetrics(
  ledger: LedgerMetrics,
  providers: readonly string[],
  temporalUrl: string | null,
): WorkerMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const answers = new Counter({
    name: 'estorno_attempt_answers_total',
    help: 'Calls for a refund, by what came of them.',
    labelNames: ['provider', 'outcome'],
    registers: [registry],
  });
  const reads = new Counter({
    name: 'estorno_provider_reads_total',
    help: 'Readings of a payment at its provider, by what came of them.',
    labelNames: ['provider', 'outcome'],
    registers: [registry],
  });
  const orphans = new Counter({
    name: 'estorno_orphans_resumed_total',
    help: 'Runs started for open refunds that had none which goes on.',
    registers: [registry],
  });
  const webhooks = new Counter({
    name: 'estorno_outbound_attempts_total',
    help: 'Attempts to deliver an outbound webhook, by what came of them.',
    labelNames: ['outcome'],
    registers: [registry],
  });
  for (const outcome of DELIVERY_OUTCOMES) webhooks.inc({ outcome }, 0);
  for (const provider of providers) {
    for (const outcome of SUBMIT_OUTCOMES) answers.inc({ provider, outcome }, 0);
    for (const outcome of READ_OUTCOMES) reads.inc({ provider, outcome }, 0);
  }
  return {
    observe: {
      attemptAnswered: (provider, outcome) => answers.inc({ provider, outcome }),
      providerRead: (provider, outcome) => reads.inc({ provider, outcome }),
      orphansResumed: (count) => orphans.inc(count),
      webhookAttempted: (outcome) => webhooks.inc({ outcome }),
    },
    expose: async () =>
      (await Promise.all([ledger.expose(), registry.metrics(), temporalMetrics(temporalUrl)])).join(''),
  };
}

/** Nothing, where it does not answer: the other figures matter more. */
async function temporalMetrics(url: string | null): Promise<string> {
  if (url === null) return '';
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(TEMPORAL_WITHIN_MS) });
    return answer.ok ? await answer.text() : '';
  } catch {
    return '';
  }
}
