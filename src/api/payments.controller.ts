import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { Payment, PaymentMethod } from '../domain/payment.js';
import { hasUnmatchedDeliveries } from '../ledger/inbox.js';
import { countLiveRefunds, findPayment, listPayments, registerPayment } from '../ledger/payments.js';
import { listEvents } from '../ledger/refund-reads.js';
import { paymentIdOf } from '../signing/refund-id.js';
import { seal } from '../signing/seal.js';
import { CurrentCaller, type Caller } from './caller.js';
import { API_DEPS, type ApiDeps, type ConfiguredProvider } from './deps.js';
import { eventPageRequest, toEventResource } from './event.resource.js';
import { idPath, noQuery } from './field.schema.js';
import { listResource, pageRequest, pagingQuery } from './list.schema.js';
import { Operation } from './openapi.js';
import { canonicalId, knownProvider } from './payment-naming.js';
import { toPaymentResource } from './payment.resource.js';
import { listPaymentsQuery, paymentBody, paymentList, paymentResource } from './payment.schema.js';
import { invalidRequest, notFound, Problem } from './problem.js';
import { eventList } from './event.schema.js';

type PaymentBody = z.output<typeof paymentBody>;

/** Clocks differ: a payment from a moment ahead is one from now. */
const CLOCK_TOLERANCE_MS = 5 * 60_000;

@Controller('v1/payments')
export class PaymentsController {
  constructor(@Inject(API_DEPS) private readonly deps: ApiDeps) {}

  @Post()
  @HttpCode(201)
  @Operation({
    summary: 'Register the original payment',
    access: ['requester'],
    success: [
      { status: 201, schema: paymentResource, description: 'Registered.', headers: ['Location'] },
      { status: 200, schema: paymentResource, description: 'Registered before with the same facts.' },
    ],
    problems: ['invalid_request', 'payment_conflict', 'payload_too_large', 'unsupported_media_type'],
  })
  async registerPayment(
    @Body({ schema: paymentBody }) body: PaymentBody,
    @Query({ schema: noQuery }) _query: unknown,
    @CurrentCaller() caller: Caller,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.output<typeof paymentResource>> {
    const nowMs = this.deps.nowMs();
    const configured = knownProvider(this.deps, body.provider);
    const providerPaymentId = canonicalId(configured, body.provider_payment_id);
    const id = paymentIdOf(body.provider, providerPaymentId);
    const result = await registerPayment(
      this.deps.db,
      {
        id,
        provider: body.provider,
        providerPaymentId,
        providerPaymentReference: this.ownReference(body),
        amountMinor: body.amount,
        currency: body.currency,
        method: methodOf(configured, body.method),
        paidAtMs: paidAtMs(body, nowMs),
        reference: body.reference ?? null,
        metadata: body.metadata ?? {},
        sealedCredential: this.sealedCredential(body),
        actor: caller.actor,
        requestId: request.id,
      },
      nowMs,
    );
    if (result.kind === 'conflict') throw conflict(result.differing);
    if (result.kind === 'created') {
      reply.header('Location', `/v1/payments/${id}`);
      void this.followEarlierWebhooks(result.payment);
    } else reply.status(200);
    return this.shown(result.payment);
  }

  @Get()
  @Operation({
    summary: 'List payments, newest first',
    success: [{ status: 200, schema: paymentList, description: 'A page of payments.' }],
    problems: ['invalid_request'],
  })
  async listPayments(
    @Query({ schema: listPaymentsQuery }) query: z.output<typeof listPaymentsQuery>,
  ): Promise<z.output<typeof paymentList>> {
    const { provider = null, provider_payment_id: providerPaymentId } = query;
    if (provider !== null) knownProvider(this.deps, provider);
    const asked = pageRequest(query);
    const page = await listPayments(
      this.deps.db,
      {
        provider,
        providerIds:
          providerPaymentId === undefined ? null : this.canonicalForms(provider, providerPaymentId),
      },
      asked,
    );
    const live = await countLiveRefunds(this.deps.db, page?.items ?? []);
    return listResource(
      page,
      (payment) => toPaymentResource(payment, live.get(payment.id) ?? 0, this.deps),
      asked,
    );
  }

  @Get(':id')
  @Operation({
    summary: 'Get a payment',
    success: [{ status: 200, schema: paymentResource, description: 'The payment as it stands.' }],
    problems: ['invalid_request', 'not_found'],
  })
  async getPayment(
    @Param({ schema: idPath }) path: z.output<typeof idPath>,
    @Query({ schema: noQuery }) _query: unknown,
  ): Promise<z.output<typeof paymentResource>> {
    return this.shown(await this.existing(path.id));
  }

  @Get(':id/events')
  @Operation({
    summary: "List a payment's trail, oldest first, its refunds included",
    success: [{ status: 200, schema: eventList, description: 'A page of events.' }],
    problems: ['invalid_request', 'not_found'],
  })
  async listPaymentEvents(
    @Param({ schema: idPath }) path: z.output<typeof idPath>,
    @Query({ schema: pagingQuery }) query: z.output<typeof pagingQuery>,
  ): Promise<z.output<typeof eventList>> {
    const payment = await this.existing(path.id);
    const asked = eventPageRequest(query);
    return listResource(
      await listEvents(this.deps.db, { paymentId: payment.id }, asked),
      toEventResource,
      asked,
    );
  }

  /** The provider may have spoken of the payment before it was known here. Beside the answer: it stands without. */
  private async followEarlierWebhooks(payment: Payment): Promise<void> {
    const { db, engine, log } = this.deps;
    try {
      if (!(await hasUnmatchedDeliveries(db, payment))) return;
      await engine.reconcilePayment({ paymentId: payment.id, provider: payment.provider });
    } catch (error) {
      log.warn({ err: error, paymentId: payment.id }, 'earlier webhooks could not be followed');
    }
  }

  private async existing(id: string): Promise<Payment> {
    const payment = await findPayment(this.deps.db, id);
    if (!payment) throw notFound('payment');
    return payment;
  }

  private async shown(payment: Payment): Promise<z.output<typeof paymentResource>> {
    const live = await countLiveRefunds(this.deps.db, [payment]);
    return toPaymentResource(payment, live.get(payment.id) ?? 0, this.deps);
  }

  /** An id may be written in several ways; which one is the ledger's depends on the provider. */
  private canonicalForms(provider: string | null, providerPaymentId: string) {
    return [...this.deps.providers]
      .filter(([name]) => provider === null || name === provider)
      .flatMap(([name, { definition }]) => {
        const canonicalPaymentId = definition.canonicalPaymentId(providerPaymentId);
        return canonicalPaymentId === null ? [] : [{ provider: name, canonicalPaymentId }];
      });
  }

  private ownReference(body: PaymentBody): string | null {
    const reference = body.provider_payment_reference ?? null;
    if (reference !== null) onlyPicPay(body.provider, 'provider_payment_reference');
    return reference;
  }

  private sealedCredential(body: PaymentBody): string | null {
    if (body.provider_credentials === undefined) return null;
    onlyPicPay(body.provider, 'provider_credentials');
    const { payloadKeys } = this.deps.config;
    if (!payloadKeys) {
      throw invalidRequest(
        '/provider_credentials',
        'Credentials are not stored here: PAYLOAD_KEYS is not set.',
      );
    }
    return seal(body.provider_credentials.refresh_token, payloadKeys);
  }
}

function methodOf(configured: ConfiguredProvider, asked: PaymentMethod | undefined): PaymentMethod {
  const { capabilities, title } = configured.definition;
  const method = asked ?? capabilities.defaultMethod;
  if (!capabilities.methods.includes(method)) {
    throw invalidRequest('/method', `${title} takes: ${capabilities.methods.join(', ')}.`);
  }
  return method;
}

function paidAtMs(body: PaymentBody, nowMs: number): number {
  const at = Date.parse(body.paid_at);
  if (!Number.isFinite(at) || at < 0) throw invalidRequest('/paid_at', 'paid_at is no instant since 1970.');
  if (at > nowMs + CLOCK_TOLERANCE_MS) throw invalidRequest('/paid_at', 'paid_at lies in the future.');
  return at;
}

function onlyPicPay(provider: string, member: string): void {
  if (provider !== 'picpay') throw invalidRequest(`/${member}`, `${member} is for picpay only.`);
}

function conflict(differing: readonly string[]): Problem {
  return new Problem('payment_conflict', `The payment is registered with another ${differing.join(', ')}.`, {
    errors: differing.map((member) => ({ pointer: `/${member}`, detail: 'differs from what is registered' })),
  });
}
