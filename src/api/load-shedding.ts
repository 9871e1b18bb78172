import type { FastifyInstance } from 'fastify';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Problem } from './problem.js';
import { sendProblem } from './problem.filter.js';

/** Two whole bursts of an actor; what waits for a database that is silent is bounded by it. */
const UNDER_WAY_MAX = 1_000;
const DELAY_MAX_MS = 500;
const LOOK_EVERY_MS = 1_000;
const SAMPLE_EVERY_MS = 20;
/** Whoever watches the service must see that it is overloaded. */
const ALWAYS_ANSWERED = /^\/(?:health\/|metrics$)/;

/** Beyond what can be answered in time, 503 at once and before anything is done, instead of late and unknown. */
export function shedLoad(fastify: Pick<FastifyInstance, 'addHook'>, underWayMax = UNDER_WAY_MAX): void {
  const isBehind = watchEventLoop(fastify);
  let underWay = 0;
  fastify.addHook('onRequest', (request, reply, done) => {
    if (ALWAYS_ANSWERED.test(request.routeOptions.url ?? '')) return done();
    if (underWay >= underWayMax || isBehind()) {
      return sendProblem(
        new Problem('engine_unavailable', 'There is too much to do right now: nothing was done. Repeat it.'),
        request,
        reply,
      );
    }
    underWay += 1;
    reply.raw.once('close', () => (underWay -= 1));
    done();
  });
}

/** A single long pause is over by the time that it is seen; two looks in a row are not chance. */
function watchEventLoop(fastify: Pick<FastifyInstance, 'addHook'>): () => boolean {
  const delay = monitorEventLoopDelay({ resolution: SAMPLE_EVERY_MS });
  delay.enable();
  let lateLooks = 0;
  const looks = setInterval(() => {
    lateLooks = delay.percentile(50) / 1e6 > DELAY_MAX_MS ? lateLooks + 1 : 0;
    delay.reset();
  }, LOOK_EVERY_MS);
  looks.unref();
  fastify.addHook('onClose', (_, done) => {
    clearInterval(looks);
    delay.disable();
    done();
  });
  return () => lateLooks >= 2;
}
