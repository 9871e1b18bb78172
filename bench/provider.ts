import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { Pool } from 'undici';
import { setting } from './setting.js';

/**
 * Pagou as its document has it, always well, at a steady pace, and with as little CPU as can be: any UUID is a charge
 * of R$ 100 paid yesterday. Prints its origin as one line of JSON.
 */
async function main(): Promise<void> {
  const server = createServer({ keepAliveTimeout: IDLE_MS }, (request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  server.listen(0, HOST);
  await once(server, 'listening');
  const origin = `http://${HOST}:${(server.address() as AddressInfo).port}`;
  process.stdout.write(`${JSON.stringify({ origin })}\n`);
}

interface Refund {
  readonly id: string;
  /** In reais. */
  readonly amount: number;
  isConfirmed: boolean;
}

interface Target {
  readonly pool: Pool;
  readonly path: string;
}

const HOST = '127.0.0.1';
const IDLE_MS = 60_000;
const CALL_MS = Number(setting('PROVIDER_CALL_MS', '20'));
const READ_MS = Number(setting('PROVIDER_READ_MS', '20'));
const CONFIRM_MS = Number(setting('PROVIDER_CONFIRM_MS', '50'));
const AGAIN_AFTER_MS = 1_000;
const API_KEY = setting('PAGOU_API_KEY');
const AMOUNT = 100;
const PAID_AT = new Date(Date.now() - 86_400_000).toISOString();
const JSON_TYPE = { 'content-type': 'application/json' };

/** By charge: there is one refund a Pix. */
const refunds = new Map<string, Refund>();
const pools = new Map<string, Pool>();
let target: Target | null = null;

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, url = '', headers } = request;
  const [, id = '', refund = ''] = /^\/v1\/pix\/([0-9a-f-]{36})(\/refund)?$/.exec(url) ?? [];
  const route = `${method} ${id === '' ? url : `/v1/pix/{id}${refund}`}`;
  if (id !== '' && headers['x-api-key'] !== API_KEY) return answer(response, 401, '{"error":"Unauthorized"}');
  switch (route) {
    case 'DELETE /v1/pix/{id}/refund': {
      const { amount } = (await json(request)) as { amount: number };
      setTimeout(() => refundCharge(id, amount, response), CALL_MS);
      return;
    }
    case 'GET /v1/pix/{id}':
      setTimeout(() => answer(response, 200, charge(id)), READ_MS);
      return;
    case 'POST /-/target':
      target = targetAt(((await json(request)) as { url: string }).url);
      return answer(response, 204);
    case 'POST /-/forget':
      refunds.clear();
      return answer(response, 204);
    case 'GET /-/health':
      return answer(response, 200, '{"status":"ok"}');
    default:
      return answer(response, 404, '{"error":"Not found"}');
  }
}

function refundCharge(chargeId: string, amount: number, response: ServerResponse): void {
  if (refunds.has(chargeId)) {
    return answer(response, 400, '{"error":"QRCode is not in completed status"}');
  }
  const refund: Refund = { id: `D${chargeId}`, amount, isConfirmed: false };
  refunds.set(chargeId, refund);
  answer(response, 204);
  // By then the target may be another, who asked for nothing.
  const whoAsked = target;
  setTimeout(() => {
    refund.isConfirmed = true;
    if (whoAsked) void tell(whoAsked, chargeId, refund);
  }, CONFIRM_MS);
}

/** 4 paid, 5 refunded; of the refund 2 accepted, 3 completed. */
function charge(id: string): string {
  const refund = refunds.get(id);
  const shown = refund
    ? `{"amount":${refund.amount},"external_id":"${refund.id}","status":${refund.isConfirmed ? 3 : 2}}`
    : 'null';
  return `{"id":"${id}","amount":${AMOUNT},"status":${refund ? 5 : 4},"paid_at":"${PAID_AT}","refund":${shown}}`;
}

/** Until it is taken, or forgotten here. */
async function tell({ pool, path }: Target, chargeId: string, refund: Refund): Promise<void> {
  if (refunds.get(chargeId) !== refund) return;
  const body =
    '{"event_name":"qrcode.refunded","data":' +
    `{"id":"${chargeId}","external_id":"${refund.id}","amount":${refund.amount}}}`;
  const timestamp = String(Math.floor(Date.now() / 1_000));
  const signature = createHmac('sha256', API_KEY)
    .update(timestamp + body)
    .digest('hex');
  const headers = { ...JSON_TYPE, 'x-pagou-timestamp': timestamp, 'x-pagou-signature': signature };
  const status = await pool
    .request({ method: 'POST', path, headers, body })
    .then(async (answered) => {
      await answered.body.dump();
      return answered.statusCode;
    })
    .catch(() => 0);
  if (status < 200 || status > 299) {
    setTimeout(() => void tell({ pool, path }, chargeId, refund), AGAIN_AFTER_MS);
  }
}

function targetAt(url: string): Target {
  const { origin, pathname: path } = new URL(url);
  const pool = pools.get(origin) ?? new Pool(origin);
  pools.set(origin, pool);
  return { pool, path };
}

function answer(response: ServerResponse, status: number, body?: string): void {
  if (body === undefined) response.writeHead(status).end();
  else response.writeHead(status, JSON_TYPE).end(body);
}

await main();
