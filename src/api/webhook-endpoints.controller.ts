import { randomBytes } from 'node:crypto';
import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import {
  findDelivery,
  listDeliveries,
  pingEndpoint,
  resendDelivery,
  type Ordered,
} from '../ledger/deliveries.js';
import {
  createEndpoint,
  deleteEndpoint,
  enableEndpoint,
  findEndpoint,
  listEndpoints,
  rotateSecret,
} from '../ledger/webhook-endpoints.js';
import { problemOfUrl, urlRules } from '../outbound/endpoint-url.js';
import { seal } from '../signing/seal.js';
import { CurrentCaller, type Caller } from './caller.js';
import { API_DEPS, type ApiDeps } from './deps.js';
import { idPath, noQuery } from './field.schema.js';
import { listResource, pageRequest, pagingQuery } from './list.schema.js';
import { Operation } from './openapi.js';
import { invalidRequest, notFound, Problem } from './problem.js';
import { toDeliveryResource, toEndpointResource } from './webhook-endpoint.resource.js';
import {
  deletedEndpoint,
  deliveryList,
  deliveryPath,
  deliveryResource,
  endpointBody,
  endpointList,
  endpointResource,
  endpointWithSecret,
  nothingBody,
} from './webhook-endpoint.schema.js';

const SECRET_BYTES = 32;
const ID_BYTES = 12;
/** So long the secret before a new one is still signed with. */
const OVERLAP_MS = 86_400_000;

type Path = z.output<typeof idPath>;
type Paging = z.output<typeof pagingQuery>;
type DeliveryResource = z.output<typeof deliveryResource>;

@Controller('v1/webhook-endpoints')
export class WebhookEndpointsController {
  constructor(@Inject(API_DEPS) private readonly deps: ApiDeps) {}

  @Post()
  @HttpCode(201)
  @Operation({
    summary: 'Have news of refunds sent to a URL',
    access: ['admin'],
    description: 'Signed as Standard Webhooks say; from the next transition on.',
    success: [
      {
        status: 201,
        schema: endpointWithSecret,
        description: 'The endpoint, with its secret.',
        headers: ['Location'],
      },
    ],
    problems: ['invalid_request', 'payload_too_large', 'unsupported_media_type'],
  })
  async createWebhookEndpoint(
    @Body({ schema: endpointBody }) body: z.output<typeof endpointBody>,
    @Query({ schema: noQuery }) _query: unknown,
    @CurrentCaller() { actor }: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.output<typeof endpointWithSecret>> {
    const { db, config, nowMs } = this.deps;
    const problem = await problemOfUrl(body.url, urlRules(config.webhookAllowPrivate ?? false));
    if (problem !== null) throw invalidRequest('/url', `The URL ${problem}.`);
    const { secret, sealedSecret } = this.newSecret('/url');
    const id = `whe_${randomBytes(ID_BYTES).toString('hex')}`;
    const { url, types = null } = body;
    const row = await createEndpoint(db, { id, url, types, sealedSecret, actor, nowMs: nowMs() });
    reply.header('Location', `/v1/webhook-endpoints/${id}`);
    return { ...toEndpointResource(row), secret };
  }

  @Get()
  @Operation({
    summary: 'List webhook endpoints, newest first',
    access: ['admin'],
    success: [{ status: 200, schema: endpointList, description: 'A page of endpoints.' }],
    problems: ['invalid_request'],
  })
  async listWebhookEndpoints(
    @Query({ schema: pagingQuery }) query: Paging,
  ): Promise<z.output<typeof endpointList>> {
    const asked = pageRequest(query);
    return listResource(await listEndpoints(this.deps.db, asked), toEndpointResource, asked);
  }

  @Get(':id')
  @Operation({
    summary: 'Get a webhook endpoint',
    access: ['admin'],
    success: [{ status: 200, schema: endpointResource, description: 'As it stands, without its secret.' }],
    problems: ['invalid_request', 'not_found'],
  })
  async getWebhookEndpoint(
    @Param({ schema: idPath }) path: Path,
    @Query({ schema: noQuery }) _query: unknown,
  ): Promise<z.output<typeof endpointResource>> {
    const row = await findEndpoint(this.deps.db, path.id);
    if (!row) throw notFound('webhook endpoint');
    return toEndpointResource(row);
  }

  @Delete(':id')
  @Operation({
    summary: 'Send no more news to an endpoint, and forget what was sent',
    access: ['admin'],
    success: [{ status: 200, schema: deletedEndpoint, description: 'It is gone.' }],
    problems: ['invalid_request', 'not_found', 'payload_too_large', 'unsupported_media_type'],
  })
  async deleteWebhookEndpoint(
    @Param({ schema: idPath }) path: Path,
    @Query({ schema: noQuery }) _query: unknown,
  ): Promise<z.output<typeof deletedEndpoint>> {
    const { db, nowMs } = this.deps;
    if (!(await deleteEndpoint(db, path.id, nowMs()))) throw notFound('webhook endpoint');
    return { id: path.id, object: 'webhook_endpoint', deleted: true };
  }

  @Get(':id/deliveries')
  @Operation({
    summary: 'List what was sent to an endpoint or waits for it, newest first',
    access: ['admin'],
    success: [{ status: 200, schema: deliveryList, description: 'A page of deliveries.' }],
    problems: ['invalid_request', 'not_found'],
  })
  async listWebhookDeliveries(
    @Param({ schema: idPath }) path: Path,
    @Query({ schema: pagingQuery }) query: Paging,
  ): Promise<z.output<typeof deliveryList>> {
    const { db } = this.deps;
    if (!(await findEndpoint(db, path.id))) throw notFound('webhook endpoint');
    const asked = pageRequest(query);
    return listResource(await listDeliveries(db, path.id, asked), toDeliveryResource, asked);
  }

  @Post(':id/deliveries/:delivery_id/resend')
  @HttpCode(202)
  @Operation({
    summary: 'Send a message once more, under the same `webhook-id`',
    access: ['admin'],
    description: 'One that waits for its next attempt is tried now.',
    success: [{ status: 202, schema: deliveryResource, description: 'It will be sent.' }],
    problems: [
      'invalid_request',
      'not_found',
      'endpoint_disabled',
      'payload_too_large',
      'unsupported_media_type',
    ],
  })
  async resendWebhookDelivery(
    @Param({ schema: deliveryPath }) path: z.output<typeof deliveryPath>,
    @Body({ schema: nothingBody }) _body: unknown,
    @Query({ schema: noQuery }) _query: unknown,
  ): Promise<DeliveryResource> {
    const { db, nowMs } = this.deps;
    return this.shown(path.id, await resendDelivery(db, path.id, path.delivery_id, nowMs()));
  }

  @Post(':id/ping')
  @HttpCode(202)
  @Operation({
    summary: 'Send a message of the type `webhook.ping`, to see whether the endpoint listens',
    access: ['admin'],
    success: [{ status: 202, schema: deliveryResource, description: 'It will be sent.' }],
    problems: [
      'invalid_request',
      'not_found',
      'endpoint_disabled',
      'payload_too_large',
      'unsupported_media_type',
    ],
  })
  async pingWebhookEndpoint(
    @Param({ schema: idPath }) path: Path,
    @Body({ schema: nothingBody }) _body: unknown,
    @Query({ schema: noQuery }) _query: unknown,
  ): Promise<DeliveryResource> {
    const { db, nowMs } = this.deps;
    return this.shown(path.id, await pingEndpoint(db, path.id, nowMs()));
  }

  @Post(':id/enable')
  @HttpCode(200)
  @Operation({
    summary: 'Send news to an endpoint again that was disabled',
    access: ['admin'],
    description:
      'From the next transition on. What was canceled stays canceled, and can be sent again by hand. ' +
      'One that is active stays as it is.',
    success: [{ status: 200, schema: endpointResource, description: 'It is active.' }],
    problems: ['invalid_request', 'not_found', 'payload_too_large', 'unsupported_media_type'],
  })
  async enableWebhookEndpoint(
    @Param({ schema: idPath }) path: Path,
    @Body({ schema: nothingBody }) _body: unknown,
    @Query({ schema: noQuery }) _query: unknown,
  ): Promise<z.output<typeof endpointResource>> {
    const { db, nowMs } = this.deps;
    const row = await enableEndpoint(db, path.id, nowMs());
    if (!row) throw notFound('webhook endpoint');
    return toEndpointResource(row);
  }

  @Post(':id/rotate')
  @HttpCode(200)
  @Operation({
    summary: 'Give an endpoint a new secret',
    access: ['admin'],
    description: 'For 24 hours messages are signed with the secret before it too.',
    success: [{ status: 200, schema: endpointWithSecret, description: 'The endpoint, with its new secret.' }],
    problems: ['invalid_request', 'not_found', 'payload_too_large', 'unsupported_media_type'],
  })
  async rotateWebhookSecret(
    @Param({ schema: idPath }) path: Path,
    @Body({ schema: nothingBody }) _body: unknown,
    @Query({ schema: noQuery }) _query: unknown,
  ): Promise<z.output<typeof endpointWithSecret>> {
    const { db, nowMs } = this.deps;
    const { secret, sealedSecret } = this.newSecret('/id');
    const rotation = { sealedSecret, overlapMs: OVERLAP_MS, nowMs: nowMs() };
    const row = await rotateSecret(db, path.id, rotation);
    if (!row) throw notFound('webhook endpoint');
    return { ...toEndpointResource(row), secret };
  }

  private newSecret(pointer: string): { secret: string; sealedSecret: string } {
    const { payloadKeys } = this.deps.config;
    if (!payloadKeys) {
      throw invalidRequest(pointer, 'No secret can be kept here: PAYLOAD_KEYS is not set.');
    }
    const secret = `whsec_${randomBytes(SECRET_BYTES).toString('base64')}`;
    return { secret, sealedSecret: seal(secret, payloadKeys) };
  }

  private async shown(endpointId: string, ordered: Ordered | null): Promise<DeliveryResource> {
    if (ordered?.kind === 'disabled') {
      throw new Problem('endpoint_disabled', 'Nothing is sent to it any more: enable it, or delete it.');
    }
    const row = ordered && (await findDelivery(this.deps.db, endpointId, ordered.deliveryId));
    if (!row) throw notFound('webhook endpoint or delivery');
    return toDeliveryResource(row);
  }
}
