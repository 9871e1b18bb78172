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
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { VoteDecision } from '../domain/vote.js';
import { settledActor } from '../ledger/actors.js';
import { findApiKey, isApiKeyForm, noteKeyUse, type KeyHolder, type Role } from '../ledger/keys.js';
import { recordRefusal } from '../ledger/refused-messages.js';
import { voteBody } from './approval.schema.js';
import { refuseUnreadableBody } from './body-parsers.js';
import { API_DEPS, type ApiDeps } from './deps.js';
import { idPath } from './field.schema.js';
import type { IdentityTokens } from './identity-token.js';
import { isOutage } from './problem.filter.js';
import { Problem, unauthenticated } from './problem.js';
import type { RateLimits } from './rate-limits.js';
import { withinDeadline } from './request-deadline.js';
import { watchForSilence } from './silence.js';

/** Who asks: scopes idempotency keys and is named in the trail, whatever key or token was used. */
export interface Caller {
  readonly actor: string;
  readonly roles: readonly Role[];
}

/** Longer than the keys of an identity provider are waited for (3 s). */
const ADMITTED_WITHIN_MS = 4_000;
/** Any hiccup of a database that works is shorter. */
const DATABASE_SILENT_AFTER_MS = 2_000;
const ACCESS = 'access';
const KEEPS_REFUSALS_OF = 'keeps-refusals-of';
const callers = new WeakMap<FastifyRequest, Caller>();

/** Only holders of one of these roles. Without a mark every role may call. */
export const Roles = (...roles: readonly Role[]): CustomDecorator => SetMetadata(ACCESS, roles);

/** A vote by who may not vote is named in the trail of its refund. */
export const KeepsRefusalsOf = (decision: VoteDecision): CustomDecorator =>
  SetMetadata(KEEPS_REFUSALS_OF, decision);

/** No key: the route authenticates its caller itself, or tells nothing. */
export const Public = (): CustomDecorator => SetMetadata(ACCESS, 'public');

/** Undefined before the caller is known, and where nobody needs to be. */
export function callerOf(request: FastifyRequest): Caller | undefined {
  return callers.get(request);
}

export const CurrentCaller = createParamDecorator((_: unknown, context: ExecutionContext): Caller => {
  const caller = callerOf(context.switchToHttp().getRequest<FastifyRequest>());
  if (!caller) throw new Error('a route without authentication asked for its caller');
  return caller;
});

@Injectable()
export class CallerGuard implements CanActivate {
  private readonly notedNow = new Set<string>();
  private readonly askDatabase = watchForSilence({
    silentAfterMs: DATABASE_SILENT_AFTER_MS,
    isAnswer: (error) => !isOutage(error),
  });

  constructor(
    @Inject(API_DEPS) private readonly deps: ApiDeps,
    @Inject(Reflector) private readonly reflector: Reflector,
    private readonly limits: RateLimits,
    /** Null: API keys alone. */
    private readonly identityTokens: IdentityTokens | null,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const access = this.reflector.get<readonly Role[] | 'public' | undefined>(ACCESS, context.getHandler());
    if (access === 'public') return true;
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    const caller = await withinDeadline(request, this.admit(request, reply), ADMITTED_WITHIN_MS);
    if (caller.roles.length === 0) throw new Problem('forbidden', 'The token names no role of this service.');
    if (access && !access.some((role) => caller.roles.includes(role))) {
      await withinDeadline(request, this.keepRefusal(context, request, caller));
      throw new Problem('forbidden', `This needs one of the roles: ${access.join(', ')}.`);
    }
    callers.set(request, caller);
    refuseUnreadableBody(request);
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

  private async admit(request: FastifyRequest, reply: FastifyReply): Promise<Caller> {
    const caller = await this.authenticate(request.headers.authorization);
    if (!caller) {
      await this.limits.countStranger(request.ip, reply);
      throw unauthenticated();
    }
    await this.askDatabase(() => this.limits.countActor(caller.actor, reply));
    return caller;
  }

  private async authenticate(header: string | undefined): Promise<Caller | null> {
    const credential = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1];
    if (credential === undefined) return null;
    const { db, nowMs } = this.deps;
    if (!isApiKeyForm(credential)) {
      const named = await this.identityTokens?.(credential);
      return named ? { ...named, actor: await this.askDatabase(() => settledActor(db, named.actor)) } : null;
    }
    const holder = await this.askDatabase(() => findApiKey(db, credential, nowMs()));
    if (holder) void this.noteUse(holder);
    return holder;
  }

  /** Beside the request, which never waits for it. */
  private async noteUse(holder: KeyHolder): Promise<void> {
    if (this.notedNow.has(holder.id)) return;
    this.notedNow.add(holder.id);
    try {
      await noteKeyUse(this.deps.db, holder, this.deps.nowMs());
    } catch (error) {
      this.deps.log.warn({ err: error, keyId: holder.id }, "a key's use was not noted");
    } finally {
      this.notedNow.delete(holder.id);
    }
  }
}
