import { Webhook } from 'standardwebhooks';

/** Standard Webhooks: `webhook-id`, `webhook-timestamp` and a signature for each secret that is good now. */
export function signedHeaders(
  messageId: string,
  body: string,
  secrets: readonly string[],
  nowMs: number,
): Readonly<Record<string, string>> {
  const at = new Date(nowMs);
  return {
    'webhook-id': messageId,
    'webhook-timestamp': String(Math.floor(nowMs / 1_000)),
    'webhook-signature': secrets.map((secret) => new Webhook(secret).sign(messageId, at, body)).join(' '),
  };
}
