import type { FastifyInstance, FastifyRequest } from 'fastify';
import { invalidRequest, Problem } from './problem.js';
import { refuseUnclearJson } from './strict-json.js';

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
    if (!isPlainUtf8(request.headers)) {
      return done(new Problem('unsupported_media_type', 'Send application/json in UTF-8, not compressed.'));
    }
    let text: string;
    try {
      text = utf8.decode(body);
    } catch {
      return done(invalidRequest('', 'The body is not UTF-8.'));
    }
    return parseJson(request, text, (error, parsed) => {
      if (error) return done(error);
      try {
        refuseUnclearJson(text);
      } catch (problem) {
        return done(problem as Problem);
      }
      return done(null, parsed);
    });
  });
  fastify.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (isWebhookRoute(request.routeOptions.url)) return done(null, body);
    return done(new Problem('unsupported_media_type', 'Send application/json.'));
  });
}

function isPlainUtf8(headers: FastifyRequest['headers']): boolean {
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(headers['content-type'] ?? '')?.[1] ?? 'utf-8';
  const encoding = headers['content-encoding'] ?? 'identity';
  return /^utf-?8$/i.test(charset) && encoding.toLowerCase() === 'identity';
}
