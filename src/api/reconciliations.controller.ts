import { randomBytes } from 'node:crypto';
import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { findReconciliation, openReconciliation } from '../ledger/reconciliations.js';
import { CurrentCaller, type Caller } from './caller.js';
import { API_DEPS, type ApiDeps } from './deps.js';
import { idPath, noQuery } from './field.schema.js';
import { Operation } from './openapi.js';
import { engineUnavailable, notFound } from './problem.js';
import { toReconciliationResource } from './reconciliation.resource.js';
import { reconciliationBody, reconciliationResource } from './reconciliation.schema.js';
import { EngineFailure } from './refund-engine.js';

type ReconciliationResource = z.output<typeof reconciliationResource>;

@Controller('v1/reconciliations')
export class ReconciliationsController {
  constructor(@Inject(API_DEPS) private readonly deps: ApiDeps) {}

  @Post()
  @HttpCode(202)
  @Operation({
    summary: 'Compare the ledger with the providers now',
    access: ['operator'],
    description: 'It also runs every night. A run that is going already is the answer.',
    success: [
      {
        status: 202,
        schema: reconciliationResource,
        description: 'It runs.',
        headers: ['Location'],
      },
    ],
    problems: ['invalid_request', 'payload_too_large', 'unsupported_media_type'],
  })
  async startReconciliation(
    @Body({ schema: reconciliationBody }) _body: unknown,
    @Query({ schema: noQuery }) _query: unknown,
    @CurrentCaller() { actor }: Caller,
    @Req() { id: requestId }: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ReconciliationResource> {
    const { db, engine, nowMs } = this.deps;
    const run = await openReconciliation(db, {
      id: `rec_${randomBytes(16).toString('hex')}`,
      origin: 'operator',
      requestedBy: actor,
      requestId,
      nowMs: nowMs(),
    });
    try {
      // One that is going already too: its process may have been lost.
      await engine.reconcile(run.id);
    } catch (error) {
      throw error instanceof EngineFailure ? engineUnavailable() : error;
    }
    reply.header('Location', `/v1/reconciliations/${run.id}`);
    return toReconciliationResource(run);
  }

  @Get(':id')
  @Operation({
    summary: 'Get a reconciliation and its report, which grows while it runs',
    access: ['operator'],
    success: [{ status: 200, schema: reconciliationResource, description: 'As it stands.' }],
    problems: ['invalid_request', 'not_found'],
  })
  async getReconciliation(
    @Param({ schema: idPath }) path: z.output<typeof idPath>,
    @Query({ schema: noQuery }) _query: unknown,
  ): Promise<ReconciliationResource> {
    const run = await findReconciliation(this.deps.db, path.id);
    if (!run) throw notFound('reconciliation');
    return toReconciliationResource(run);
  }
}
