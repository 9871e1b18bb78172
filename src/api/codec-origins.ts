import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

export const CODEC_BODY_LIMIT_BYTES = 1024 * 1024;
const ROUTES = ['/codec/decode', '/codec/encode'];
const PREFLIGHT_HOLDS_SECONDS = '600';

export function isCodecRoute(pattern: string | undefined): boolean {
  return pattern !== undefined && ROUTES.includes(pattern);
}

/**
 * Lets pages of these origins, where Temporal's UI is served, call the codec from a browser, and no others. Only who calls
 * is told so: the key is asked for as everywhere, and no cookie counts. Before the routes are registered.
 */
export function admitCodecOrigins(
  fastify: Pick<FastifyInstance, 'addHook' | 'options'>,
  origins: readonly string[],
): void {
  if (origins.length === 0) return;
  fastify.addHook('onRequest', (request: FastifyRequest, reply: FastifyReply, done: () => void) => {
    if (isCodecRoute(request.routeOptions.url)) nameOrigin(request, reply, origins);
    done();
  });
  for (const route of ROUTES) {
    fastify.options(route, (_, reply) => reply.code(204).send());
  }
}

function nameOrigin(
  { headers, method }: FastifyRequest,
  reply: FastifyReply,
  origins: readonly string[],
): void {
  reply.header('Vary', 'Origin');
  if (headers.origin === undefined || !origins.includes(headers.origin)) return;
  reply.header('Access-Control-Allow-Origin', headers.origin);
  if (method !== 'OPTIONS') return;
  reply.header('Access-Control-Allow-Methods', 'POST');
  reply.header('Access-Control-Allow-Headers', 'content-type, x-namespace, authorization');
  reply.header('Access-Control-Max-Age', PREFLIGHT_HOLDS_SECONDS);
}
