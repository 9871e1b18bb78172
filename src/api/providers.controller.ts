import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { statesOfProviders } from '../ledger/provider-states.js';
import { pauseProvider, resumeProvider } from '../ledger/provider-switches.js';
import { CurrentCaller, type Caller } from './caller.js';
import { API_DEPS, type ApiDeps } from './deps.js';
import { noQuery, providerPath } from './field.schema.js';
import { Operation } from './openapi.js';
import { notFound, type ProblemCode } from './problem.js';
import { toProviderResource } from './provider.resource.js';
import { providerList, providerResource, switchBody } from './provider.schema.js';

type ProviderResource = z.output<typeof providerResource>;

const SWITCH_PROBLEMS: readonly ProblemCode[] = [
  'invalid_request',
  'not_found',
  'payload_too_large',
  'unsupported_media_type',
];

@Controller('v1/providers')
export class ProvidersController {
  constructor(@Inject(API_DEPS) private readonly deps: ApiDeps) {}

  @Get()
  @Operation({
    summary: 'List the providers and what stands in the way of each',
    success: [{ status: 200, schema: providerList, description: 'All of them, in one page.' }],
    problems: ['invalid_request'],
  })
  async listProviders(@Query({ schema: noQuery }) _query: unknown): Promise<z.output<typeof providerList>> {
    return { object: 'list', data: await this.states([...this.deps.providers.keys()]), has_more: false };
  }

  @Post(':provider/pause')
  @HttpCode(200)
  @Operation({
    summary: 'Send nothing through a provider until it is resumed',
    access: ['operator'],
    description: 'Its refunds wait with the reason; what was sent before goes on being read. Safe to repeat.',
    success: [{ status: 200, schema: providerResource, description: 'Paused, now or before.' }],
    problems: SWITCH_PROBLEMS,
  })
  pauseProvider(
    @Param({ schema: providerPath }) { provider }: z.output<typeof providerPath>,
    @Body({ schema: switchBody }) body: z.output<typeof switchBody>,
    @Query({ schema: noQuery }) _query: unknown,
    @CurrentCaller() caller: Caller,
    @Req() request: FastifyRequest,
  ): Promise<ProviderResource> {
    return this.turn(pauseProvider, provider, body, caller, request);
  }

  @Post(':provider/resume')
  @HttpCode(200)
  @Operation({
    summary: 'Send through a provider again',
    access: ['operator'],
    description: 'What waited goes on in order of deadline. Safe to repeat.',
    success: [{ status: 200, schema: providerResource, description: 'Not paused, now or before.' }],
    problems: SWITCH_PROBLEMS,
  })
  resumeProvider(
    @Param({ schema: providerPath }) { provider }: z.output<typeof providerPath>,
    @Body({ schema: switchBody }) body: z.output<typeof switchBody>,
    @Query({ schema: noQuery }) _query: unknown,
    @CurrentCaller() caller: Caller,
    @Req() request: FastifyRequest,
  ): Promise<ProviderResource> {
    return this.turn(resumeProvider, provider, body, caller, request);
  }

  private async turn(
    change: typeof pauseProvider,
    provider: string,
    body: z.output<typeof switchBody>,
    { actor }: Caller,
    request: FastifyRequest,
  ): Promise<ProviderResource> {
    if (!this.deps.providers.has(provider)) throw notFound('provider');
    const { db, nowMs } = this.deps;
    const asked = { provider, actor, reason: body?.reason ?? '', requestId: request.id, nowMs: nowMs() };
    await db.transaction().execute((trx) => change(trx, asked));
    const [state] = await this.states([provider]);
    if (!state) throw notFound('provider');
    return state;
  }

  private async states(providers: readonly string[]): Promise<ProviderResource[]> {
    const nowMs = this.deps.nowMs();
    return (await statesOfProviders(this.deps.db, providers)).map((state) =>
      toProviderResource(state, { on: this.deps.providers.get(state.provider)?.provider != null, nowMs }),
    );
  }
}
