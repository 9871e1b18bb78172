import type { FastifyInstance } from 'fastify';
import { invalidRequest, Problem } from './problem.js';

export const WEBHOOK_BODY_LIMIT_BYTES = 256 * 1024;

/** Their bodies stay the bytes that were signed, of whatever type and even if they are no JSON. */
export function isWebhookRoute(pattern: string | undefined): boolean {
  return pattern !== undefined && /^\/v1\/providers\/[^/]+\/webhook(?:\/pix)?$/.test(pattern);
}

export function addBodyParsers(
  fastify: Pick<
    FastifyInstance,
    'removeAllContentTypeParsers' | 'addContentTypeParser' | 'getDefaultJsonParser'
  >,
): void {
  // Members that would reach a prototype are refused.
  const parseJson = fastify.getDefaultJsonParser('error', 'error');
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (isWebhookRoute(request.routeOptions.url)) return done(null, body);
    let text: string;
    try {
      text = utf8.decode(body);
    } catch {
      return done(invalidRequest('', 'The body is not UTF-8.'));
    }
    return parseJson(request, text, done);
  });
  fastify.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (isWebhookRoute(request.routeOptions.url)) return done(null, body);
    return done(new Problem('unsupported_media_type', 'Send application/json.'));
  });
}
