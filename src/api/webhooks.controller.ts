import { Controller, HttpCode, Inject, Param, Post, Req } from '@nestjs/common';
import { ApiHeader, ApiQuery } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { concernedBy, matchDeliveries, storeDelivery } from '../ledger/inbox.js';
import { API_DEPS, type ApiDeps } from './deps.js';
import { providerPath } from './field.schema.js';
import { Operation } from './openapi.js';
import { invalidRequest, notFound, Problem, type ProblemCode } from './problem.js';
import { withinDeadline } from './request-deadline.js';
import { webhookAnswer } from './webhook.schema.js';

/** Providers are promised a second. What comes too late for it is a 503, and they send it again. */
const ANSWER_WITHIN_MS = 900;

const EFI_SECRET = 'Efí: the agreed secret.';

const PROBLEM_CODES: readonly ProblemCode[] = [
  'invalid_request',
  'unauthenticated',
  'not_found',
  'payload_too_large',
  'engine_unavailable',
];

@Controller('v1/providers')
export class WebhooksController {
  constructor(@Inject(API_DEPS) private readonly deps: ApiDeps) {}

  @Post(':provider/webhook')
  @HttpCode(200)
  @Operation({
    summary: 'A provider says that something happened',
    access: 'open',
    description: 'Authenticated over the raw body in the way of each provider. A hint: only a read decides.',
    rawBody: true,
    success: [{ status: 200, schema: webhookAnswer, description: 'Stored, once however often it comes.' }],
    problems: PROBLEM_CODES,
  })
  @ApiHeader({ name: 'X-Pagou-Signature', required: false, description: 'Pagou: its signature.' })
  @ApiHeader({ name: 'x-webhook-secret', required: false, description: 'Braspag: the agreed secret.' })
  @ApiQuery({ name: 'hmac', required: false, schema: { type: 'string' }, description: EFI_SECRET })
  async receiveWebhook(
    @Param({ schema: providerPath }) { provider }: z.output<typeof providerPath>,
    @Req() request: FastifyRequest,
  ): Promise<Record<string, never>> {
    await withinDeadline(request, this.receive(provider, request), ANSWER_WITHIN_MS);
    return {};
  }

  @Post('efi/webhook/pix')
  @HttpCode(200)
  @Operation({
    summary: 'The same for Efí, which may add /pix to the address that it was given',
    access: 'open',
    rawBody: true,
    success: [{ status: 200, schema: webhookAnswer, description: 'Stored, once however often it comes.' }],
    problems: PROBLEM_CODES,
  })
  @ApiQuery({ name: 'hmac', required: false, schema: { type: 'string' }, description: EFI_SECRET })
  async receiveEfiPixWebhook(@Req() request: FastifyRequest): Promise<Record<string, never>> {
    await withinDeadline(request, this.receive('efi', request), ANSWER_WITHIN_MS);
    return {};
  }

  private async receive(name: string, request: FastifyRequest): Promise<void> {
    const configured = this.deps.providers.get(name);
    if (!configured?.definition.sendsWebhooks) throw notFound('webhook');
    if (!configured.provider) {
      throw new Problem('unauthenticated', 'Nothing is configured to check this with.');
    }
    const { webhook } = configured.provider;
    if (!webhook) throw notFound('webhook');

    const rawBody = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const nowMs = this.deps.nowMs();
    const delivery = { rawBody, headers: singleValues(request.headers), query: singleValues(request.query) };
    if (!webhook.verifyWebhook(delivery, nowMs)) {
      throw new Problem('unauthenticated', 'The delivery is not signed as it should be.');
    }
    const parsed = webhook.parseWebhook(rawBody);
    if (parsed.kind === 'malformed') throw invalidRequest('', parsed.detail);

    await storeDelivery(
      this.deps.db,
      { provider: name, rawBody, providerPaymentId: parsed.providerPaymentId },
      nowMs,
    );
    if (parsed.providerPaymentId !== null) void this.passOn(name, parsed.providerPaymentId);
  }

  /** After the answer: it stands without the engine, and what nobody followed is read again by the nightly run. */
  private async passOn(provider: string, providerPaymentId: string): Promise<void> {
    const { db, engine, log, nowMs } = this.deps;
    try {
      const concerned = await concernedBy(db, provider, providerPaymentId, nowMs());
      if (!concerned || concerned.isWatched) return;
      const { paymentId, openRefundIds, attemptIsOpen } = concerned;
      await Promise.all([
        ...openRefundIds.map((id) => engine.hint(id, 'webhook')),
        // It marks the delivery as followed once it has read.
        ...(attemptIsOpen ? [] : [engine.reconcilePayment({ paymentId, provider })]),
      ]);
      const payment = { provider, provider_payment_id: providerPaymentId };
      if (attemptIsOpen) await matchDeliveries(db, payment, nowMs(), nowMs());
    } catch (error) {
      log.warn({ err: error, provider }, 'a webhook could not be passed on');
    }
  }
}

/** What is given twice is as good as not given: whoever is in front may have looked at the other one. */
function singleValues(given: unknown): Record<string, string | undefined> {
  if (typeof given !== 'object' || given === null) return {};
  return Object.fromEntries(
    Object.entries(given).map(([name, value]: [string, unknown]) => [
      name,
      typeof value === 'string' ? value : undefined,
    ]),
  );
}
