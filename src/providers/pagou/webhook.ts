import { createHmac } from 'node:crypto';
import { z } from 'zod';
import type { WebhookDelivery } from '../../domain/provider.js';
import { readJson } from '../json.js';
import { canonicalUuid } from '../payment-id.js';
import { matchesSecret } from '../webhook-secret.js';

const REPLAY_WINDOW_MS = 300_000;

/** X-Pagou-Signature: hex HMAC-SHA256 under the API key over X-Pagou-Timestamp and the raw body, unseparated. */
export function isSignedByPagou(
  { headers, rawBody }: WebhookDelivery,
  apiKeys: readonly string[],
  nowMs: number,
): boolean {
  const timestamp = headers['x-pagou-timestamp'] ?? '';
  if (!/^\d{1,12}$/.test(timestamp)) return false;
  if (Math.abs(nowMs - Number(timestamp) * 1000) > REPLAY_WINDOW_MS) return false;
  const signature = headers['x-pagou-signature']
    ?.trim()
    .toLowerCase()
    .replace(/^sha256=/, '');
  const expected = apiKeys.map((key) =>
    createHmac('sha256', key).update(timestamp).update(rawBody).digest('hex'),
  );
  return matchesSecret(signature, expected);
}

/** The document names the event `event_name`, Pagou's own module reads `name`. */
const Webhook = z.object({
  event_name: z.string().nullish(),
  name: z.string().nullish(),
  data: z.object({ id: z.string().nullish() }).nullish().catch(null),
});

export function webhookPaymentId(
  rawBody: string,
): { kind: 'hint'; providerPaymentId: string | null } | { kind: 'malformed'; detail: string } {
  const body = readJson(Webhook, rawBody);
  if (!body.ok) return { kind: 'malformed', detail: body.detail };
  const { event_name, name, data } = body.value;
  const event = event_name ?? name ?? '';
  return {
    kind: 'hint',
    providerPaymentId: event.startsWith('qrcode.') ? canonicalUuid(data?.id ?? '') : null,
  };
}
