import type { FastifyInstance, FastifyRequest } from 'fastify';
import { findUnclearJson } from '../domain/unclear-json.js';
import { pointerOf } from './json-pointer.js';
import { invalidRequest, Problem } from './problem.js';

export const WEBHOOK_BODY_LIMIT_BYTES = 256 * 1024;

/** Their bodies stay the bytes that were signed, of whatever type and even if they are no JSON. */
export function isWebhookRoute(pattern: string | undefined): boolean {
  return pattern !== undefined && /^\/v1\/providers\/[^/]+\/webhook(?:\/pix)?$/.test(pattern);
}

/**
 * A body that can't be taken becomes an Error in its place, which `refuseUnreadableBody` throws once the caller is known:
 * who has no key learns nothing else, and every request counts.
 */
export function addBodyParsers(
  fastify: Pick<
    FastifyInstance,
    'removeAllContentTypeParsers' | 'addContentTypeParser' | 'getDefaultJsonParser'
  >,
): void {
  // Members that would reach a prototype are refused.
  const parseJson = fastify.getDefaultJsonParser('error', 'error');
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (isWebhookRoute(request.routeOptions.url)) return done(null, body);
    const text = readText(request.headers, body);
    if (text instanceof Problem) return done(null, text);
    return parseJson(request, text, (error, parsed) => done(null, error ?? unclear(text) ?? parsed));
  });
  fastify.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (isWebhookRoute(request.routeOptions.url)) return done(null, body);
    return done(null, new Problem('unsupported_media_type', 'Send application/json.'));
  });
}

/** @throws what its parser found wrong with the body. */
export function refuseUnreadableBody({ body }: FastifyRequest): void {
  if (body instanceof Error) throw body;
}

// A byte order mark is kept, to be refused: JSON has none, and not every reader skips it.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function readText(headers: FastifyRequest['headers'], body: Buffer): string | Problem {
  if (!isPlainUtf8(headers)) {
    return new Problem('unsupported_media_type', 'Send application/json in UTF-8, not compressed.');
  }
  try {
    const text = utf8.decode(body);
    return text.startsWith('\ufeff') ? invalidRequest('', 'The body begins with a byte order mark.') : text;
  } catch {
    return invalidRequest('', 'The body is not UTF-8.');
  }
}

function unclear(text: string): Problem | null {
  const found = findUnclearJson(text);
  return found && invalidRequest(pointerOf(found.path), found.detail);
}

function isPlainUtf8(headers: FastifyRequest['headers']): boolean {
  const charsets = (headers['content-type'] ?? '').matchAll(/;\s*charset\s*=\s*"?([^";\s]*)/gi);
  const encoding = headers['content-encoding'] ?? 'identity';
  return (
    [...charsets].every(([, charset]) => /^utf-?8$/i.test(charset ?? '')) &&
    encoding.toLowerCase() === 'identity'
  );
}
