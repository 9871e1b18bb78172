import type { FastifyInstance } from 'fastify';
import { callerOf } from './caller.js';
import type { ApiLog } from './deps.js';

/**
 * A line for each answer: which route, by whom, about which refund, how long. Never a path, a query, a head or a body: what is
 * in them is a secret (Efí's `hmac`), or somebody's words.
 */
export function logAnswers(fastify: FastifyInstance, log: ApiLog): void {
  fastify.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? null;
    if (route === null || !QUIET_ROUTES.test(route)) {
      const about = String(reply.getHeader('Location') ?? request.url);
      log.info(
        {
          requestId: request.id,
          method: request.method,
          route,
          status: reply.statusCode,
          durationMs: Math.round(reply.elapsedTime),
          actor: callerOf(request)?.actor ?? null,
          refundId: REFUND_ROUTE.exec(about)?.[1] ?? null,
        },
        'answered',
      );
    }
    done();
  });
}

/** Asked every few seconds, by machines. */
const QUIET_ROUTES = /^\/(?:health|metrics)(?:\/|$)/;
const REFUND_ROUTE = /^\/v1\/refunds\/(rfd_[0-9a-z]{26})(?=[/?]|$)/;
