import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
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

/**
 * A head that could be read in two ways is 400, one that is longer than any honest one 431. `requireHostHeader` must be
 * off: what Node answers by itself has no body.
 */
export function refuseUnclearHeads(fastify: Pick<FastifyInstance, 'addHook' | 'server'>): void {
  // The same for what Node would answer with a bare 417.
  fastify.server.on('checkExpectation', (request, response) => {
    fastify.server.emit('request', request, response);
  });
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
  refuseUnclearFraming(request.raw, seen);
  if (!isReadableQuery(request)) throw invalidRequest('', 'The query is not readable.');
}

function refuseUnclearFraming({ httpVersion, headers }: IncomingMessage, seen: ReadonlySet<string>): void {
  if (httpVersion === '1.1' && !seen.has('host')) throw invalidRequest('/host', 'Send the header host.');
  // RFC 9112, 6.1: nobody in front that speaks 1.0 knows where such a body ends.
  if (httpVersion === '1.0' && seen.has('transfer-encoding')) {
    throw invalidRequest('/transfer-encoding', 'HTTP/1.0 has no transfer codings.');
  }
  if (seen.has('expect') && headers.expect?.toLowerCase() !== '100-continue') {
    throw invalidRequest('/expect', 'Nothing but 100-continue can be expected.');
  }
}

/** Fastify's reader leaves what it can't decode as it is, and no schema sees a member of this name. */
function isReadableQuery({ raw, query }: FastifyRequest): boolean {
  if (Object.hasOwn(query as object, '__proto__')) return false;
  try {
    decodeURIComponent(/\?(.*)/.exec(raw.url ?? '')?.[1] ?? '');
    return true;
  } catch {
    return false;
  }
}
