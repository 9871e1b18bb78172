import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { invalidRequest, notFound, Problem, problemBody, PROBLEM_MEDIA_TYPE, PROBLEMS } from './problem.js';
import { sendProblem } from './problem.filter.js';

/** What Node's HTTP parser refuses never becomes a request: the answer is written to the socket. */
export function answerParserError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy(error);
    return;
  }
  const isTooSlow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const problem =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? new Problem('headers_too_large', 'The header fields are larger than 16 KiB.')
      : invalidRequest(
          '',
          isTooSlow ? 'The request did not arrive in time.' : 'This is no readable HTTP request.',
        );
  const id = `req_${randomBytes(12).toString('hex')}`;
  const body = JSON.stringify(problemBody(problem, { path: '', id }));
  const head = [
    `HTTP/1.1 ${PROBLEMS[problem.code].status} ${PROBLEMS[problem.code].title}`,
    `Content-Type: ${PROBLEM_MEDIA_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${id}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

/** What Fastify's router refuses before a route is found. */
export function answerRouterError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const isTooLong = error.code === 'FST_ERR_MAX_PARAM_LENGTH';
  sendProblem(
    isTooLong ? notFound('route') : invalidRequest('', 'The path is not readable.'),
    request,
    reply,
  );
}
