import type { z } from 'zod';
import type { DeliveryRow } from '../ledger/deliveries.js';
import type { EndpointRow } from '../ledger/webhook-endpoints.js';
import type { deliveryResource, endpointResource } from './webhook-endpoint.schema.js';

export function toEndpointResource(row: EndpointRow): z.output<typeof endpointResource> {
  return {
    id: row.id,
    object: 'webhook_endpoint',
    url: row.url,
    types: row.types,
    status: row.status,
    disabled_reason: row.disabled_reason,
    created_by: row.created_by,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

export function toDeliveryResource(row: DeliveryRow): z.output<typeof deliveryResource> {
  return {
    id: row.id,
    object: 'webhook_delivery',
    endpoint_id: row.endpoint_id,
    message_id: row.message_id,
    type: row.type,
    refund_id: row.refund_id,
    version: row.version,
    status: row.status,
    attempts: row.attempts,
    last_attempt_at: row.last_attempt_at?.toISOString() ?? null,
    next_attempt_at: row.next_attempt_at?.toISOString() ?? null,
    last_status: row.last_status,
    last_error: row.last_error,
    delivered_at: row.delivered_at?.toISOString() ?? null,
    created_at: row.created_at.toISOString(),
  };
}
