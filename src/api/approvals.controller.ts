import { Body, Controller, HttpCode, Inject, Param, Post, Query, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { cancelRefund, extendApproval, vote } from './approval.js';
import {
  cancelBody,
  extensionBody,
  voteBody,
  type CancelBody,
  type ExtensionBody,
  type VoteBody,
} from './approval.schema.js';
import { CurrentCaller, type Caller } from './caller.js';
import { API_DEPS, type ApiDeps } from './deps.js';
import { idPath, noQuery } from './field.schema.js';
import { Operation, type OperationSpec } from './openapi.js';
import type { ProblemCode } from './problem.js';
import { toRefundResource } from './refund.resource.js';
import { refundResource } from './refund.schema.js';

type Path = z.output<typeof idPath>;
type Refund = z.output<typeof refundResource>;

const BODY_PROBLEMS: readonly ProblemCode[] = [
  'invalid_request',
  'not_found',
  'payload_too_large',
  'unsupported_media_type',
];

/** For the people who decide whether a refund is sent, and until when. */
@Controller('v1/refunds')
export class ApprovalsController {
  constructor(@Inject(API_DEPS) private readonly deps: ApiDeps) {}

  @Post(':id/approve')
  @HttpCode(200)
  @Operation(voting('approve', 'Approve a refund', 'The last approval that is needed sends it on.'))
  async approveRefund(
    @Param({ schema: idPath }) path: Path,
    @Body({ schema: voteBody }) body: VoteBody,
    @Query({ schema: noQuery }) _query: unknown,
    @CurrentCaller() { actor }: Caller,
    @Req() { id: requestId }: FastifyRequest,
  ): Promise<Refund> {
    const ask = { refundId: path.id, actor, requestId, body };
    return toRefundResource(await vote(this.deps, 'approve', ask));
  }

  @Post(':id/reject')
  @HttpCode(200)
  @Operation(voting('reject', 'Reject a refund', 'One rejection ends it; its amount is free again.'))
  async rejectRefund(
    @Param({ schema: idPath }) path: Path,
    @Body({ schema: voteBody }) body: VoteBody,
    @Query({ schema: noQuery }) _query: unknown,
    @CurrentCaller() { actor }: Caller,
    @Req() { id: requestId }: FastifyRequest,
  ): Promise<Refund> {
    const ask = { refundId: path.id, actor, requestId, body };
    return toRefundResource(await vote(this.deps, 'reject', ask));
  }

  @Post(':id/extend')
  @HttpCode(200)
  @Operation({
    summary: 'Give people more time to approve',
    access: ['operator'],
    description: 'Never beyond the refund window. The same end again changes nothing.',
    success: [{ status: 200, schema: refundResource, description: 'The refund as it stands.' }],
    problems: [...BODY_PROBLEMS, 'already_final', 'approval_conflict', 'extension_beyond_window'],
  })
  async extendApproval(
    @Param({ schema: idPath }) path: Path,
    @Body({ schema: extensionBody }) body: ExtensionBody,
    @Query({ schema: noQuery }) _query: unknown,
    @CurrentCaller() { actor }: Caller,
    @Req() { id: requestId }: FastifyRequest,
  ): Promise<Refund> {
    return toRefundResource(await extendApproval(this.deps, { refundId: path.id, actor, requestId, body }));
  }

  @Post(':id/cancel')
  @HttpCode(200)
  @Operation({
    summary: 'Cancel a refund of which nothing is on its way',
    access: ['requester', 'operator'],
    description:
      'While it waits for approval, its turn, balance or its provider. Once the provider may have it, only the provider decides. A repeat changes nothing.',
    success: [{ status: 200, schema: refundResource, description: 'Canceled, now or before.' }],
    problems: [...BODY_PROBLEMS, 'not_cancelable'],
  })
  async cancelRefund(
    @Param({ schema: idPath }) path: Path,
    @Body({ schema: cancelBody }) body: CancelBody,
    @Query({ schema: noQuery }) _query: unknown,
    @CurrentCaller() { actor }: Caller,
    @Req() { id: requestId }: FastifyRequest,
  ): Promise<Refund> {
    return toRefundResource(await cancelRefund(this.deps, { refundId: path.id, actor, requestId, body }));
  }
}

function voting(decision: 'approve' | 'reject', summary: string, effect: string): OperationSpec {
  return {
    summary,
    access: ['approver'],
    description:
      `${effect} For people other than who asked, once each. The same vote again answers 200 and changes nothing; ` +
      'after a 503 send it again. A vote that is refused is kept in the trail.',
    success: [{ status: 200, schema: refundResource, description: 'The refund as it stands.' }],
    problems: [...BODY_PROBLEMS, 'self_approval_forbidden', 'already_final', 'approval_conflict'],
    keepsRefusalsOf: decision,
  };
}
