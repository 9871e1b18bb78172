import { collectDefaultMetrics, Counter, Histogram, Registry } from 'prom-client';
import type { ApiMetrics } from '../api/deps.js';
import type { LedgerMetrics } from './ledger-metrics.js';

/** What the front door tells about itself, and how it is read. */
export function createApiMetrics(ledger: LedgerMetrics): ApiMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: 'estorno_http_requests_total',
    help: 'Requests answered, by route template.',
    labelNames: ['route', 'method', 'status'],
    registers: [registry],
  });
  const durations = new Histogram({
    name: 'estorno_http_request_duration_seconds',
    help: 'From the arrival of a request to the end of its answer, by route template.',
    labelNames: ['route', 'method'],
    // The door answers within 10 s, and a provider may have 5 s of them.
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
  return {
    answered: (route, method, status, seconds) => {
      requests.inc({ route, method, status });
      durations.observe({ route, method }, seconds);
    },
    expose: async () => (await Promise.all([ledger.expose(), registry.metrics()])).join(''),
  };
}
