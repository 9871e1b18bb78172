import type { FastifyReply } from 'fastify';
import ipaddr from 'ipaddr.js';
import { RateLimiterPostgres, RateLimiterRes } from 'rate-limiter-flexible';
import type { RateLimit } from '../config.js';
import type { Database } from '../ledger/database.js';
import { createRateLimitStore, type RateLimitStore } from '../ledger/rate-limit-store.js';
import { Problem } from './problem.js';

export interface RateLimits {
  /** Counts a request of somebody known. @throws Problem 429 beyond the limit; the driver's words without PostgreSQL. */
  countActor(actor: string, reply: FastifyReply): Promise<void>;
  /** Counts a request that was refused for its credentials. @throws Problem 429 beyond the limit. */
  countStranger(address: string, reply: FastifyReply): Promise<void>;
}

/** Refusals an address: who holds a valid key is served from there all the same. */
const STRANGERS: Limit = { name: 'address', requests: 100, windowSeconds: 60 };
const TABLE = 'rate_limits';

interface Limit {
  readonly name: 'actor' | 'address';
  readonly requests: number;
  readonly windowSeconds: number;
}

/**
 * One statement a request, over all API processes. A window is as long as the burst takes at the average rate, and
 * holds the burst; a window that is used up is remembered here until it ends, so that a flood costs no statements.
 */
export function createRateLimits(db: Database, { perSecond, burst }: RateLimit): RateLimits {
  const store = createRateLimitStore(db);
  const actors: Limit = { name: 'actor', requests: burst, windowSeconds: burst / perSecond };
  const [countActor, countStranger] = [createCounter(store, actors), createCounter(store, STRANGERS)];
  return {
    countActor,
    countStranger: async (address, reply) => {
      try {
        await countStranger(networkOf(address), reply);
      } catch (error) {
        // That the credentials are wrong is known without the count.
        if (error instanceof Problem) throw error;
      }
    },
  };
}

function createCounter(store: RateLimitStore, limit: Limit) {
  const limiter = new RateLimiterPostgres({
    storeClient: store,
    storeType: 'pool',
    tableName: TABLE,
    tableCreated: true,
    keyPrefix: limit.name,
    points: limit.requests,
    duration: limit.windowSeconds,
    inMemoryBlockOnConsumed: limit.requests,
  });
  return async (key: string, reply: FastifyReply): Promise<void> => {
    const counted = await limiter.consume(key).catch((error: unknown) => {
      if (error instanceof RateLimiterRes) return error;
      throw error;
    });
    const resetSeconds = Math.max(1, Math.ceil(counted.msBeforeNext / 1000));
    const remaining = counted.remainingPoints;
    const isOver = counted.consumedPoints === 0 || counted.consumedPoints > limit.requests;
    void reply.headers({
      'RateLimit-Policy': `"${limit.name}";q=${limit.requests};w=${Math.ceil(limit.windowSeconds)}`,
      RateLimit: `"${limit.name}";r=${isOver ? 0 : remaining};t=${resetSeconds}`,
    });
    if (!isOver) return;
    throw new Problem('rate_limited', `Nothing was done: wait ${resetSeconds} s, then repeat it.`, {
      headers: { 'Retry-After': String(resetSeconds) },
    });
  };
}

/** One host of IPv6 has a whole /64 to come from. */
function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return 'unknown';
  const parsed = ipaddr.process(address);
  if (parsed instanceof ipaddr.IPv6) {
    return `${parsed.parts
      .slice(0, 4)
      .map((part) => part.toString(16))
      .join(':')}::/64`;
  }
  return parsed.toString();
}
