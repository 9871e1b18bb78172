import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { CurrentCaller, type Caller } from './caller.js';
import { API_DEPS, type ApiDeps } from './deps.js';
import { idPath, noQuery } from './field.schema.js';
import { Operation } from './openapi.js';
import { toRefundResource } from './refund.resource.js';
import { refundResource } from './refund.schema.js';
import { resolveReview } from './review-resolution.js';
import { reviewOf } from './review.resource.js';
import { resolutionBody, reviewResource, type ResolutionBody } from './review.schema.js';

/** For the person who looks at a refund that nobody can decide by reading alone. */
@Controller('v1/refunds')
export class ReviewsController {
  constructor(@Inject(API_DEPS) private readonly deps: ApiDeps) {}

  @Get(':id/review')
  @Operation({
    summary: 'What a person needs to decide about a refund in review',
    description:
      'Asks the provider, for at most 3 s; stores nothing. Also there for a refund that is not in review.',
    success: [{ status: 200, schema: reviewResource, description: 'What was sent, answered and is shown.' }],
    problems: ['invalid_request', 'not_found'],
  })
  async getReview(
    @Param({ schema: idPath }) path: z.output<typeof idPath>,
    @Query({ schema: noQuery }) _query: unknown,
  ): Promise<z.output<typeof reviewResource>> {
    return reviewOf(this.deps, path.id);
  }

  @Post(':id/resolve')
  @HttpCode(200)
  @Operation({
    summary: 'End a review by a person’s decision',
    access: ['operator'],
    description:
      'The provider is read first; where it shows otherwise, nothing is done. Not for who asked for the refund. ' +
      'After a 503 send the same again: the same decision of the same person about a refund is carried out once, ' +
      'for good. Another decision, in a later review, needs other evidence.',
    success: [
      {
        status: 200,
        schema: refundResource,
        description: 'Carried out: the refund as it stands.',
        headers: ['Idempotent-Replayed'],
      },
    ],
    problems: [
      'invalid_request',
      'self_approval_forbidden',
      'not_found',
      'not_in_review',
      'provider_contradicts',
      'payload_too_large',
      'unsupported_media_type',
      'provider_unavailable',
    ],
  })
  async resolveReview(
    @Param({ schema: idPath }) path: z.output<typeof idPath>,
    @Body({ schema: resolutionBody }) body: ResolutionBody,
    @Query({ schema: noQuery }) _query: unknown,
    @CurrentCaller() { actor }: Caller,
    @Req() { id: requestId }: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.output<typeof refundResource>> {
    const { refund, replayed } = await resolveReview(this.deps, {
      refundId: path.id,
      actor,
      requestId,
      body,
    });
    if (replayed) reply.header('Idempotent-Replayed', 'true');
    return toRefundResource(refund);
  }
}
