import { Controller, Get, Inject, Param, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { readEvidence } from '../ledger/evidence.js';
import { prefersHtml } from './accept.js';
import { API_DEPS, type ApiDeps } from './deps.js';
import { EVIDENCE_PAGE_POLICY, evidencePage } from './evidence.page.js';
import { toEvidenceResource } from './evidence.resource.js';
import { evidenceResource, type Evidence } from './evidence.schema.js';
import { idPath, noQuery } from './field.schema.js';
import { Operation } from './openapi.js';
import { notFound } from './problem.js';

/** From the ledger alone: it can be had as long as the ledger is kept, whatever the engine has forgotten. */
@Controller('v1/refunds')
export class EvidenceController {
  constructor(@Inject(API_DEPS) private readonly deps: ApiDeps) {}

  @Get(':id/evidence')
  @Operation({
    summary: 'Get all that is known of a refund',
    description:
      'The refund, its payment, policy, votes, attempts and trail as they stood at one instant, and whether the trail is whole. ' +
      'As a page to print for who prefers `text/html`.',
    success: [
      {
        status: 200,
        schema: evidenceResource,
        description: 'All of it.',
        alsoAsPage: true,
        headers: ['Vary', 'Content-Security-Policy'],
      },
    ],
    problems: ['invalid_request', 'not_found'],
  })
  async getRefundEvidence(
    @Param({ schema: idPath }) path: z.output<typeof idPath>,
    @Query({ schema: noQuery }) _query: unknown,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Evidence | string> {
    const known = await readEvidence(this.deps.db, path.id);
    if (!known) throw notFound('refund');
    const evidence = toEvidenceResource(known, this.deps);
    reply.header('Vary', 'Accept');
    if (!prefersHtml(request.headers.accept)) return evidence;
    reply.header('Content-Security-Policy', EVIDENCE_PAGE_POLICY).type('text/html; charset=utf-8');
    return evidencePage(evidence);
  }
}
