import {
  createParamDecorator,
  Inject,
  Injectable,
  SetMetadata,
  type CanActivate,
  type CustomDecorator,
  type ExecutionContext,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { findApiKey, type Role } from '../ledger/keys.js';
import { API_DEPS, type ApiDeps } from './deps.js';
import { Problem } from './problem.js';
import { withinDeadline } from './request-deadline.js';

/** Who asks: scopes idempotency keys and is named in the trail, whatever key was used. */
export interface Caller {
  readonly actor: string;
  readonly roles: readonly Role[];
}

const ACCESS = 'access';
const callers = new WeakMap<FastifyRequest, Caller>();

/** Only holders of one of these roles. Without a mark every key may call. */
export const Roles = (...roles: readonly Role[]): CustomDecorator => SetMetadata(ACCESS, roles);

/** No key: the route authenticates its caller itself, or tells nothing. */
export const Public = (): CustomDecorator => SetMetadata(ACCESS, 'public');

export const CurrentCaller = createParamDecorator((_: unknown, context: ExecutionContext): Caller => {
  const caller = callers.get(context.switchToHttp().getRequest<FastifyRequest>());
  if (!caller) throw new Error('a route without authentication asked for its caller');
  return caller;
});

@Injectable()
export class ApiKeyGuard implements CanActivate {
  constructor(
    @Inject(API_DEPS) private readonly deps: ApiDeps,
    @Inject(Reflector) private readonly reflector: Reflector,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const access = this.reflector.get<readonly Role[] | 'public' | undefined>(ACCESS, context.getHandler());
    if (access === 'public') return true;
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const caller = await withinDeadline(request, this.authenticate(request));
    if (access && !access.some((role) => caller.roles.includes(role))) {
      throw new Problem('forbidden', `This needs one of the roles: ${access.join(', ')}.`);
    }
    callers.set(request, caller);
    return true;
  }

  private async authenticate(request: FastifyRequest): Promise<Caller> {
    const key = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    const found = key === undefined ? null : await findApiKey(this.deps.db, key);
    if (!found) throw new Problem('unauthenticated', 'Send a valid key: Authorization: Bearer <key>.');
    return found;
  }
}
