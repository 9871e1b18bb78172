import { Catch, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ApiLog } from './deps.js';
import {
  engineUnavailable,
  invalidRequest,
  notFound,
  Problem,
  problemBody,
  PROBLEM_MEDIA_TYPE,
  PROBLEMS,
} from './problem.js';

/** Whatever goes wrong, in Nest, in Fastify or in a parser, leaves as problem+json. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(
    private readonly log: ApiLog,
    private readonly allowedMethods: (path: string) => readonly string[],
  ) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const problem = request.is404 ? this.unrouted(request) : problemOf(thrown);
    if (PROBLEMS[problem.code].status >= 500) {
      this.log.error({ err: thrown, requestId: request.id, code: problem.code }, 'a request failed');
    }
    sendProblem(problem, request, http.getResponse<FastifyReply>());
  }

  private unrouted(request: FastifyRequest): Problem {
    const allowed = this.allowedMethods(pathOf(request.url));
    if (allowed.length === 0) return notFound('route');
    return new Problem('method_not_allowed', `${request.method} is not allowed here.`, {
      headers: { Allow: allowed.join(', ') },
    });
  }
}

export function sendProblem(problem: Problem, request: FastifyRequest, reply: FastifyReply): void {
  void reply
    .status(PROBLEMS[problem.code].status)
    .headers({ ...problem.headers, 'X-Request-Id': request.id })
    .type(PROBLEM_MEDIA_TYPE)
    // As bytes: to text Fastify would add a charset, which the media type does not have.
    .send(Buffer.from(JSON.stringify(problemBody(problem, { path: pathOf(request.url), id: request.id }))));
}

export function pathOf(url: string): string {
  return url.split(/[?#]/, 1)[0] ?? url;
}

function problemOf(thrown: unknown): Problem {
  if (thrown instanceof Problem) return thrown;
  switch (clientStatusOf(thrown)) {
    case 404:
    case 414:
      return notFound('route');
    case 413:
      return new Problem('payload_too_large', 'The body is larger than this route takes.');
    case 415:
      return new Problem('unsupported_media_type', 'Send application/json.');
    case null:
      return isOutage(thrown)
        ? engineUnavailable()
        : new Problem('internal_error', 'Something went wrong here; the request id finds it in the log.');
    default:
      return invalidRequest('', 'The request can not be read as JSON.');
  }
}

/** The 4xx that Nest, Fastify or a parser gave its error, null for every other error. */
function clientStatusOf(thrown: unknown): number | null {
  const status = memberOf(thrown, 'statusCode') ?? memberOf(thrown, 'status');
  return typeof status === 'number' && status >= 400 && status < 500 ? status : null;
}

function memberOf(thrown: unknown, name: string): unknown {
  return typeof thrown === 'object' && thrown !== null && name in thrown
    ? (thrown as Record<string, unknown>)[name]
    : undefined;
}

const SYSTEM_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
]);
// Connection exceptions, insufficient resources, and what an operator or a timeout ended.
const POSTGRES_OUTAGE = /^(?:08...|53...|57014|57P0\d|25006)$/;
// node-postgres gives these no code.
const POOL_WORDS =
  /timeout exceeded when trying to connect|Connection terminated|Query read timeout|Client was closed|Client has encountered a connection error/;

/** PostgreSQL is away, starting, full or frozen: nothing that the caller could mend. */
export function isOutage(thrown: unknown): boolean {
  const code = memberOf(thrown, 'code');
  if (typeof code === 'string') return SYSTEM_CODES.has(code) || POSTGRES_OUTAGE.test(code);
  return POOL_WORDS.test(String(memberOf(thrown, 'message')));
}
