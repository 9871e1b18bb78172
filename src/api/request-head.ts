import type { FastifyInstance, FastifyRequest } from 'fastify';
import { invalidRequest, Problem } from './problem.js';

const FIELDS_MAX = 100;

/** Node keeps the first of some of these and joins others: whoever is in front may read another one than we do. */
const ONCE_ALONE: ReadonlySet<string> = new Set([
  'authorization',
  'idempotency-key',
  'content-type',
  'content-encoding',
  'content-length',
  'host',
]);

/** A head that could be read in two ways is 400, one that is longer than any honest one 431. */
export function refuseUnclearHeads(fastify: Pick<FastifyInstance, 'addHook'>): void {
  fastify.addHook('onRequest', (request, _reply, done) => {
    refuseUnclearHead(request);
    done();
  });
}

function refuseUnclearHead(request: FastifyRequest): void {
  const names = request.raw.rawHeaders.filter((_, index) => index % 2 === 0);
  if (names.length > FIELDS_MAX) {
    throw new Problem('headers_too_large', `There are more than ${FIELDS_MAX} header fields.`);
  }
  const seen = new Set<string>();
  for (const name of names.map((field) => field.toLowerCase())) {
    if (seen.has(name) && ONCE_ALONE.has(name)) {
      throw invalidRequest(`/${name}`, `Send the header ${name} once.`);
    }
    seen.add(name);
  }
}
