import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
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
export function shedLoad(
  fastify: Pick<FastifyInstance, 'addHook'>,
  { underWayMax = UNDER_WAY_MAX, delayMaxMs = DELAY_MAX_MS, lookEveryMs = LOOK_EVERY_MS } = {},
): void {
  const isBehind = watchEventLoop(fastify, delayMaxMs, lookEveryMs);
  const working = new WeakSet<FastifyRequest>();
  let underWay = 0;
  fastify.addHook('onRequest', (request, reply, done) => {
    if (isBehind() && !isAlwaysAnswered(request)) return shed(request, reply);
    done();
  });
  // After the body: one that trickles in holds no place of a request that is worked on.
  fastify.addHook('preHandler', (request, reply, done) => {
    if (isAlwaysAnswered(request)) return done();
    if (underWay >= underWayMax) return shed(request, reply);
    underWay += 1;
    working.add(request);
    done();
  });
  // Not when the client leaves: the work goes on.
  fastify.addHook('onSend', (request, _reply, payload, done) => {
    if (working.delete(request)) underWay -= 1;
    done(null, payload);
  });
}

function isAlwaysAnswered(request: FastifyRequest): boolean {
  return ALWAYS_ANSWERED.test(request.routeOptions.url ?? '');
}

function shed(request: FastifyRequest, reply: FastifyReply): void {
  const detail = 'There is too much to do right now: nothing was done. Repeat it.';
  sendProblem(new Problem('engine_unavailable', detail), request, reply);
}

/** A single long pause is over by the time that it is seen; two looks in a row are not chance. */
function watchEventLoop(
  fastify: Pick<FastifyInstance, 'addHook'>,
  delayMaxMs: number,
  lookEveryMs: number,
): () => boolean {
  const delay = monitorEventLoopDelay({ resolution: SAMPLE_EVERY_MS });
  delay.enable();
  let lateLooks = 0;
  const looks = setInterval(() => {
    lateLooks = delay.percentile(50) / 1e6 > delayMaxMs ? lateLooks + 1 : 0;
    delay.reset();
  }, lookEveryMs);
  looks.unref();
  fastify.addHook('onClose', (_, done) => {
    clearInterval(looks);
    delay.disable();
    done();
  });
  return () => lateLooks >= 2;
}
