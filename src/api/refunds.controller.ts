import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { ELIGIBILITY_CODES } from '../domain/refund.js';
import { findRefund, listEvents, listRefunds, type RefundRow } from '../ledger/refund-reads.js';
import { CurrentCaller, type Caller } from './caller.js';
import { API_DEPS, type ApiDeps } from './deps.js';
import { eventPageRequest, toEventResource } from './event.resource.js';
import { eventList } from './event.schema.js';
import { idPath, noQuery } from './field.schema.js';
import { readIdempotencyKey } from './idempotency-key.js';
import { listResource, pageRequest, pagingQuery } from './list.schema.js';
import { Operation } from './openapi.js';
import { knownProvider } from './payment-naming.js';
import { notFound } from './problem.js';
import { previewRefund } from './refund-preview.js';
import { createRefresher } from './refund-refresh.js';
import { requestRefund } from './refund-request.js';
import { toRefundResource } from './refund.resource.js';
import {
  listRefundsQuery,
  previewResource,
  refundBody,
  refundList,
  refundQuery,
  refundResource,
  type RefundBody,
} from './refund.schema.js';

@Controller('v1/refunds')
export class RefundsController {
  private readonly refreshed: (refund: RefundRow) => Promise<RefundRow>;

  constructor(@Inject(API_DEPS) private readonly deps: ApiDeps) {
    this.refreshed = createRefresher(deps);
  }

  @Post()
  @HttpCode(202)
  @Operation({
    summary: 'Ask for a refund',
    access: ['requester'],
    description:
      'A repeat with the same Idempotency-Key gets the same status and the refund as it stands now. ' +
      'After a 503, repeat with the same key, never a new one, until another answer comes.',
    idempotent: true,
    success: [
      {
        status: 202,
        schema: refundResource,
        description: 'Admitted: the amount is reserved, the refund is on its way.',
        headers: ['Location', 'Idempotent-Replayed'],
      },
    ],
    problems: [
      'invalid_request',
      'idempotency_key_missing',
      'not_found',
      'idempotency_in_progress',
      'duplicate_reference',
      'refundable_amount_mismatch',
      'payload_too_large',
      'unsupported_media_type',
      'idempotency_key_reused',
      ...ELIGIBILITY_CODES,
      'provider_unavailable',
    ],
  })
  async createRefund(
    @Body({ schema: refundBody }) body: RefundBody,
    @Query({ schema: noQuery }) _query: unknown,
    @CurrentCaller() caller: Caller,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.output<typeof refundResource>> {
    const idempotencyKey = readIdempotencyKey(request.headers['idempotency-key']);
    const ask = { actor: caller.actor, idempotencyKey, requestId: request.id, body };
    const { refund, replayed } = await requestRefund(this.deps, ask);
    reply.header('Location', `/v1/refunds/${refund.id}`);
    if (replayed) reply.header('Idempotent-Replayed', 'true');
    return toRefundResource(refund);
  }

  @Post('preview')
  @HttpCode(200)
  @Operation({
    summary: 'Decide every rule without any effect',
    access: ['requester'],
    success: [
      { status: 200, schema: previewResource, description: 'Every rule, passed or not, with its numbers.' },
    ],
    problems: [
      'invalid_request',
      'not_found',
      'payload_too_large',
      'unsupported_media_type',
      'provider_not_enabled',
      'provider_unavailable',
    ],
  })
  async previewRefund(
    @Body({ schema: refundBody }) body: RefundBody,
    @Query({ schema: noQuery }) _query: unknown,
    @CurrentCaller() caller: Caller,
  ): Promise<z.output<typeof previewResource>> {
    return previewRefund(this.deps, { actor: caller.actor, body });
  }

  @Get()
  @Operation({
    summary: 'List refunds, newest first',
    success: [{ status: 200, schema: refundList, description: 'A page of refunds.' }],
    problems: ['invalid_request'],
  })
  async listRefunds(
    @Query({ schema: listRefundsQuery }) query: z.output<typeof listRefundsQuery>,
  ): Promise<z.output<typeof refundList>> {
    if (query.provider !== undefined) knownProvider(this.deps, query.provider);
    const asked = pageRequest(query);
    const filters = {
      status: query.status ?? null,
      provider: query.provider ?? null,
      paymentId: query.payment_id ?? null,
      reference: query.reference ?? null,
      createdFromMs: instantMs(query['created[gte]']),
      createdBeforeMs: instantMs(query['created[lt]']),
    };
    return listResource(await listRefunds(this.deps.db, filters, asked), toRefundResource, asked);
  }

  @Get(':id')
  @Operation({
    summary: 'Get a refund',
    success: [{ status: 200, schema: refundResource, description: 'The refund as it stands.' }],
    problems: ['invalid_request', 'not_found'],
  })
  async getRefund(
    @Param({ schema: idPath }) path: z.output<typeof idPath>,
    @Query({ schema: refundQuery }) query: z.output<typeof refundQuery>,
  ): Promise<z.output<typeof refundResource>> {
    const refund = await this.existing(path.id);
    return toRefundResource(query.refresh === 'true' ? await this.refreshed(refund) : refund);
  }

  @Get(':id/events')
  @Operation({
    summary: "List a refund's trail, oldest first",
    success: [{ status: 200, schema: eventList, description: 'A page of events.' }],
    problems: ['invalid_request', 'not_found'],
  })
  async listRefundEvents(
    @Param({ schema: idPath }) path: z.output<typeof idPath>,
    @Query({ schema: pagingQuery }) query: z.output<typeof pagingQuery>,
  ): Promise<z.output<typeof eventList>> {
    const refund = await this.existing(path.id);
    const asked = eventPageRequest(query);
    return listResource(
      await listEvents(this.deps.db, { refundId: refund.id }, asked),
      toEventResource,
      asked,
    );
  }

  private async existing(id: string): Promise<RefundRow> {
    const refund = await findRefund(this.deps.db, id);
    if (!refund) throw notFound('refund');
    return refund;
  }
}

function instantMs(text: string | undefined): number | null {
  return text === undefined ? null : Date.parse(text);
}
