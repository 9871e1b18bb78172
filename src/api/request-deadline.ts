import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { from, lastValueFrom, type Observable } from 'rxjs';
import { engineUnavailable } from './problem.js';

/** A client is answered within 10 s, whoever behind the door is silent. */
const ANSWER_WITHIN_MS = 9_000;

const arrivals = new WeakMap<FastifyRequest, number>();

export function noteArrival(request: FastifyRequest): void {
  arrivals.set(request, performance.now());
}

/** The work goes on where it is too late to stop it, but nobody waits for it: the answer is 503. */
export async function withinDeadline<T>(
  request: FastifyRequest,
  work: Promise<T>,
  withinMs = ANSWER_WITHIN_MS,
): Promise<T> {
  const elapsedMs = performance.now() - (arrivals.get(request) ?? performance.now());
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(engineUnavailable()), Math.max(0, withinMs - elapsedMs));
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

@Injectable()
export class DeadlineInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler<unknown>): Observable<unknown> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    return from(withinDeadline(request, lastValueFrom(next.handle(), { defaultValue: undefined })));
  }
}
