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
import type { VoteDecision } from '../domain/vote.js';
import { findApiKey, type Role } from '../ledger/keys.js';
import { recordRefusal } from '../ledger/refused-messages.js';
import { voteBody } from './approval.schema.js';
import { API_DEPS, type ApiDeps } from './deps.js';
import { idPath } from './field.schema.js';
import { Problem } from './problem.js';
import { withinDeadline } from './request-deadline.js';

/** Who asks: scopes idempotency keys and is named in the trail, whatever key was used. */
export interface Caller {
  readonly actor: string;
  readonly roles: readonly Role[];
}

const ACCESS = 'access';
const KEEPS_REFUSALS_OF = 'keeps-refusals-of';
const callers = new WeakMap<FastifyRequest, Caller>();

/** Only holders of one of these roles. Without a mark every key may call. */
export const Roles = (...roles: readonly Role[]): CustomDecorator => SetMetadata(ACCESS, roles);

/** A vote by who may not vote is named in the trail of its refund. */
export const KeepsRefusalsOf = (decision: VoteDecision): CustomDecorator =>
  SetMetadata(KEEPS_REFUSALS_OF, decision);

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
      await withinDeadline(request, this.keepRefusal(context, request, caller));
      throw new Problem('forbidden', `This needs one of the roles: ${access.join(', ')}.`);
    }
    callers.set(request, caller);
    return true;
  }

  private async keepRefusal(
    context: ExecutionContext,
    request: FastifyRequest,
    { actor }: Caller,
  ): Promise<void> {
    const action = this.reflector.get<VoteDecision | undefined>(KEEPS_REFUSALS_OF, context.getHandler());
    const path = idPath.safeParse(request.params);
    if (!action || !path.success) return;
    const vote = voteBody.safeParse(request.body);
    const contentHash = vote.success ? vote.data.content_hash : null;
    const refusal = { action, actor, requestId: request.id, code: 'forbidden', contentHash };
    await recordRefusal(this.deps.db, path.data.id, refusal, this.deps.nowMs());
  }

  private async authenticate(request: FastifyRequest): Promise<Caller> {
    const key = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    const found = key === undefined ? null : await findApiKey(this.deps.db, key);
    if (!found) throw new Problem('unauthenticated', 'Send a valid key: Authorization: Bearer <key>.');
    return found;
  }
}
